#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

TEST_CASE("ladder: every rung of transpose gives the transposed matrix, in every order of its threads") {
  Generator generator(1);
  for (const Shape& shape : {Shape{64, 96}, Shape{33, 70}, Shape{1, 5}}) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16, Dtype::uint8}) {
      const Tensor x = cast(uniform(shape, generator, 0, 200), dtype);
      each_rung<ladder::Transpose>([&](unsigned rung, Device device) {
        const Tensor out({shape[1], shape[0]}, dtype, device);
        launch(ladder::Transpose{rung, to(x, device), out});
        CHECK(same_bits(to(out, Device::cpu), contiguous(transpose(x))));
      });
    }
  }
}

TEST_CASE("ladder: transpose writes 32 sectors a request, then 4; it has 31 conflicts a request, then none") {
  Generator generator(1);
  const Tensor x = to(uniform({64, 64}, generator), Device::simt),
               out({64, 64}, Dtype::float32, Device::simt);
  const auto counts = counts_of_rungs<ladder::Transpose>([&](unsigned rung) {
    launch(ladder::Transpose{rung, x, out});
  });
  for (size_t rung = 0; rung < counts.size(); ++rung) {
    CAPTURE(rung);
    CHECK(sectors_a_request(counts[rung].total(false, false)) == 4);
    CHECK(sectors_a_request(counts[rung].total(false, true)) == (rung == 0 ? 32 : 4));
    CHECK(conflicts_a_request(counts[rung].total(true, false)) == (rung == 1 ? 31 : 0));
    CHECK(conflicts_a_request(counts[rung].total(true, true)) == 0);
  }
}

TEST_CASE("ladder: transpose needs the barrier between writing a tile and reading it") {
  const Tensor x({33, 40}, Dtype::float32, Device::simt), out({40, 33}, Dtype::float32, Device::simt);
  fill(x, 1);
  CHECK(barriers_of_rungs<ladder::Transpose>([&](unsigned rung) {
          launch(ladder::Transpose{rung, x, out});
        }) == std::vector<size_t>{0, 1, 1, 1});
}

TEST_CASE("copies of transposed matrices, alone and in a batch, are those of the cpu on a GPU") {
  Generator generator(1);
  const Tensor x = normal({3, 40, 50}, generator);
  const auto check = [&](const Tensor& got, const Tensor& wanted) {
    CHECK(same_bits(to(contiguous(got), Device::cpu), contiguous(wanted)));
  };
  const auto first = [](const Tensor& t) { return reshape(slice(t, 0, 0, 1), {40, 50}); };
  for (Device device : gpus()) {
    const Tensor on_gpu = to(x, device);
    check(permute(on_gpu, {0, 2, 1}), permute(x, {0, 2, 1}));
    check(permute(on_gpu, {2, 1, 0}), permute(x, {2, 1, 0}));
    check(slice(permute(on_gpu, {0, 2, 1}), 1, 1, 20), slice(permute(x, {0, 2, 1}), 1, 1, 20));
    check(cast(transpose(first(on_gpu)), Dtype::bfloat16), cast(transpose(first(x)), Dtype::bfloat16));
  }
}

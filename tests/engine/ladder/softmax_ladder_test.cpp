#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"

using namespace haze;
using namespace haze::test;

namespace {

Tensor rung_of_softmax(unsigned rung, const Tensor& x) {
  const Tensor out(x.shape(), x.dtype(), x.device());
  launch(ladder::Softmax{rung, x, out});
  return out;
}

Tensor numbers(const Shape& shape, Dtype dtype) {
  Generator generator(1);
  return cast(unary(UnaryOp::clamp, normal(shape, generator), -8, 8), dtype);
}

// x - max is rounded before e^x magnifies its error by up to |x - max| < 16; a bfloat16 result is rounded
// again.
void check_close(const Tensor& got, const Tensor& wanted) {
  const double allowed = got.dtype() == Dtype::bfloat16 ? 0x1p-8 : 16 * 0x1p-23;
  const std::vector<double> g = got.to_vector<double>(), w = wanted.to_vector<double>();
  REQUIRE(g.size() == w.size());
  size_t wrong = 0;
  for (size_t i = 0; i < g.size(); ++i) wrong += !(std::abs(g[i] - w[i]) <= allowed * w[i]);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("ladder: every rung of softmax agrees with float64 on the cpu; bits are the same in every order") {
  // Vectors, a length that is no multiple of them, more rows than a warp has lanes.
  for (const Shape& shape : {Shape{2, 264}, Shape{1, 331}, Shape{40, 5}}) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      const Tensor x = numbers(shape, dtype);
      const Tensor wanted = softmax(cast(x, Dtype::float64));
      check_rungs<ladder::Softmax>(
          [&](unsigned rung, Device device) { return rung_of_softmax(rung, to(x, device)); },
          [&](const Tensor& result) { check_close(result, wanted); });
    }
  }
}

TEST_CASE("ladder: the last rung of softmax reads what registers do not hold once more") {
  const Tensor x = numbers({1, 4400}, Dtype::float32);
  const CheckedRungs checked(true);
  const Tensor y = rung_of_softmax(3, to(x, Device::simt));
  check_close(y, softmax(cast(x, Dtype::float64)));
  CHECK(simt::last_counts().total(false, false).bytes == (4096 + 2 * (4400 - 4096)) * sizeof(float));
}

TEST_CASE("ladder: every rung of softmax gives 0 where all is -inf, and NaN for a row with a NaN") {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor x = clone(expand(full({}, -infinity), {4, 40}));
  copy_into(slice(slice(x, 0, 1, 2), 1, 7, 8), full({1, 1}, 3));
  copy_into(slice(slice(x, 0, 2, 3), 1, 9, 10), full({1, 1}, std::nan("")));
  each_rung<ladder::Softmax>([&](unsigned rung, Device device) {
    const std::vector<float> y = rung_of_softmax(rung, to(x, device)).to_vector<float>();
    for (size_t i = 0; i < 40; ++i) {
      CHECK(y[i] == 0);
      CHECK(y[40 + i] == (i == 7 ? 1 : 0));
      CHECK(std::isnan(y[80 + i]));
      CHECK(y[120 + i] == 0);
    }
  });
}

TEST_CASE("ladder: softmax touches 32 sectors a request, then 4 with lanes of 4 bytes, 16 with those of 16") {
  Generator generator(1);
  const Tensor x = to(normal({64, 2048}, generator), Device::simt), few = slice(x, 0, 0, 2);
  const auto counts = counts_of_rungs<ladder::Softmax>(
      [&](unsigned rung) { rung_of_softmax(rung, rung < 2 ? contiguous(slice(x, 1, 0, 40)) : few); });
  for (size_t rung = 0; rung < counts.size(); ++rung) {
    CAPTURE(rung);
    const simt::LineCount reads = counts[rung].total(false, false), writes = counts[rung].total(false, true);
    const double sectors = rung < 2 ? 32 : rung == 2 ? 4 : 16;
    CHECK(sectors_a_request(reads) == sectors);
    CHECK(sectors_a_request(writes) == sectors);
    CHECK(reads.bytes == (rung == 0 ? 3 : rung == 3 ? 1 : 2) * writes.bytes);
    CHECK(counts[rung].total(true, false).conflicts + counts[rung].total(true, true).conflicts == 0);
  }
}

TEST_CASE("ladder: softmax has one barrier, in its last rung, and needs it") {
  Generator generator(1);
  const Tensor x = to(normal({1, 1024}, generator), Device::simt);
  CHECK(barriers_of_rungs<ladder::Softmax>([&](unsigned rung) { rung_of_softmax(rung, x); }) ==
        std::vector<size_t>{0, 0, 0, 1});
}

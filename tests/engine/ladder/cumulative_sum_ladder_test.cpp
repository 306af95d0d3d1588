#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"

using namespace haze;
using namespace haze::test;

namespace {

Tensor rung_of_scan(unsigned rung, const Tensor& x) {
  const Tensor out(x.shape(), x.dtype(), x.device());
  launch(ladder::CumulativeSum{rung, x, out});
  return out;
}

// Whole numbers, whose sums float64 holds exactly.
Tensor whole_numbers(const Shape& shape, Dtype dtype) {
  Generator generator(1);
  return cast(cast(uniform(shape, generator, -99, 100), Dtype::int32), dtype);
}

}  // namespace

TEST_CASE(
    "ladder: every rung of cumulative_sum has the rounded running sums, in every order of its threads") {
  // Less than a warp, a length that is no multiple of a vector, several rounds of a block.
  for (const Shape& shape : {Shape{40, 7}, Shape{3, 301}, Shape{2, 2100}}) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      const Tensor x = whole_numbers(shape, dtype);
      const Tensor wanted = cast(cumulative_sum(cast(x, Dtype::float64)), dtype);
      check_rungs<ladder::CumulativeSum>(
          [&](unsigned rung, Device device) { return rung_of_scan(rung, to(x, device)); },
          [&](const Tensor& result) { CHECK(same_bits(result, wanted)); });
    }
  }
}

TEST_CASE("ladder: cumulative_sum touches 32 sectors a request, then 4, then 16 with lanes of 16 bytes") {
  const Tensor x = to(whole_numbers({32, 1024}, Dtype::float32), Device::simt);
  const auto counts = counts_of_rungs<ladder::CumulativeSum>([&](unsigned rung) {
    rung_of_scan(rung, rung == 0 ? contiguous(slice(x, 1, 0, 40)) : slice(x, 0, 0, 2));
  });
  for (size_t rung = 0; rung < counts.size(); ++rung) {
    CAPTURE(rung);
    const double sectors = rung == 0 ? 32 : rung == 1 ? 4 : 16;
    CHECK(sectors_a_request(counts[rung].total(false, false)) == sectors);
    CHECK(sectors_a_request(counts[rung].total(false, true)) == sectors);
    CHECK(counts[rung].total(true, false).conflicts + counts[rung].total(true, true).conflicts == 0);
  }
}

TEST_CASE("ladder: cumulative_sum needs both barriers of its last rung; the others have none") {
  const Tensor x = to(whole_numbers({1, 2048}, Dtype::float32), Device::simt);
  CHECK(barriers_of_rungs<ladder::CumulativeSum>([&](unsigned rung) { rung_of_scan(rung, x); }) ==
        std::vector<size_t>{0, 0, 2});
}

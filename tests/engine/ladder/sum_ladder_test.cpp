#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"

using namespace haze;
using namespace haze::test;

namespace {

Tensor rung_of_sum(unsigned rung, const Tensor& x) {
  const Tensor out({}, x.dtype(), x.device());
  launch(ladder::Sum{rung, x, out});
  return out;
}

// Whole numbers, whose sums float64 holds exactly.
Tensor whole_numbers(int64_t count, Dtype dtype) {
  Generator generator(1);
  return cast(cast(uniform({count}, generator, -99, 100), Dtype::int32), dtype);
}

}  // namespace

TEST_CASE("ladder: every rung of sum has the rounded sum of whole numbers, in every order of its threads") {
  // Fewer than a block's threads, a tail behind the vectors, more than one chunk of the last rung.
  for (int64_t count : {1, 100, 4099, 8197}) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      const Tensor x = whole_numbers(count, dtype);
      const Tensor wanted = cast(sum(cast(x, Dtype::float64)), dtype);
      check_rungs<ladder::Sum>([&](unsigned rung, Device device) { return rung_of_sum(rung, to(x, device)); },
                               [&](const Tensor& result) { CHECK(same_bits(result, wanted)); });
    }
  }
}

TEST_CASE("ladder: sum reads 4 sectors a request, and 16 with vectors, without bank conflicts") {
  const Tensor x = to(whole_numbers(16384, Dtype::float32), Device::simt);
  const auto counts = counts_of_rungs<ladder::Sum>([&](unsigned rung) { rung_of_sum(rung, x); });
  for (size_t rung = 0; rung < 3; ++rung) {
    CAPTURE(rung);
    const simt::LineCount reads = counts[rung].total(false, false);
    CHECK(sectors_a_request(reads) == (rung < 2 ? 4 : 16));
    CHECK(reads.bytes == 16384 * sizeof(float));
  }
  for (const simt::LaunchCounts& count : counts) {
    CHECK(count.total(true, false).conflicts + count.total(true, true).conflicts == 0);
  }
  CHECK(counts.back().total(false, false).bytes == 2 * sizeof(double));  // of the second launch: two chunks
}

TEST_CASE("ladder: the tree of sum needs both of its barriers, the other rungs need one") {
  const Tensor x = to(whole_numbers(600, Dtype::float32), Device::simt);
  CHECK(barriers_of_rungs<ladder::Sum>([&](unsigned rung) { rung_of_sum(rung, x); }) ==
        std::vector<size_t>{2, 1, 1, 1});
}

TEST_CASE("reductions on a GPU put chunks of long rows and columns together as the cpu does") {
  Generator generator(2);
  const Tensor x = cast(cast(uniform({2, 17001}, generator, -99, 100), Dtype::int32), Dtype::float32);
  for (Device device : gpus()) {
    const Tensor rows = to(x, device), columns = to(contiguous(transpose(x)), device);
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::min}) {
      CHECK(same_bits(to(reduce(op, rows, {1}), Device::cpu), reduce(op, x, {1})));
      CHECK(same_bits(to(reduce(op, columns, {0}), Device::cpu), reduce(op, x, {1})));
      CHECK(same_bits(to(reduce(op, slice(rows, 0, 1, 2)), Device::cpu), reduce(op, slice(x, 0, 1, 2))));
    }
  }
}

#include "haze/nn/sequences.h"

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

using nn_test::sequences_of;
using testing::error_of;

using Ints = std::vector<int32_t>;

Ints ints(const Tensor& x) {
  REQUIRE(x.dtype() == Dtype::int32);
  return x.to_vector<int32_t>();
}

}  // namespace

TEST_CASE("sequences: rows of ragged lengths know their start, place and sequence") {
  const Sequences s = sequences_of({3, 1, 2});
  CHECK(s.count == 3);
  CHECK(s.rows == 6);
  CHECK(s.longest == 3);
  CHECK(ints(s.offsets) == Ints{0, 3, 4, 6});
  CHECK(ints(s.positions) == Ints{0, 1, 2, 0, 0, 1});
  CHECK(ints(s.index) == Ints{0, 0, 0, 1, 2, 2});
  CHECK(s.lengths == std::vector<int64_t>{3, 1, 2});
}

TEST_CASE("sequences: a sequence of no tokens takes no row and keeps its number") {
  const Sequences s = sequences_of({0, 2, 0, 1, 0});
  CHECK(s.count == 5);
  CHECK(s.rows == 3);
  CHECK(s.longest == 2);
  CHECK(ints(s.offsets) == Ints{0, 0, 2, 2, 3, 3});
  CHECK(ints(s.positions) == Ints{0, 1, 0});
  CHECK(ints(s.index) == Ints{1, 1, 3});
}

TEST_CASE("sequences: an empty list makes an empty batch") {
  const Sequences s = sequences_of({});
  CHECK(s.count == 0);
  CHECK(s.rows == 0);
  CHECK(s.longest == 0);
  CHECK(ints(s.offsets) == Ints{0});
  CHECK(s.positions.elements() == 0);
  CHECK(s.index.elements() == 0);
}

TEST_CASE("sequences: lengths that make no batch give a sentence") {
  CHECK(error_of([] { sequences_of({2, -1}); }) == "Sequences: length -1 is negative");
  CHECK(error_of([] {
          sequences_of({int64_t{1} << 30, int64_t{1} << 30});
        }) == "Sequences: 2147483648 rows are more than the 2147483647 that int32 offsets can count");
  // The sum of these two does not even fit int64.
  CHECK(error_of([] {
          sequences_of({INT64_MAX, INT64_MAX});
        }) ==
        "Sequences: 9223372036854775807 rows are more than the 2147483647 that int32 offsets can count");
}

}  // namespace haze

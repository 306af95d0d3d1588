#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

// The order that sort should find: std::stable_sort of the numbers, then the NaNs.
std::vector<int32_t> reference_order(const std::vector<double>& row, bool descending) {
  std::vector<int32_t> order(row.size());
  std::iota(order.begin(), order.end(), 0);
  const auto at = [&](int32_t i) { return row[static_cast<size_t>(i)]; };
  const auto nans =
      std::stable_partition(order.begin(), order.end(), [&](int32_t i) { return !std::isnan(at(i)); });
  std::stable_sort(order.begin(), nans,
                   [&](int32_t a, int32_t b) { return descending ? at(a) > at(b) : at(a) < at(b); });
  return order;
}

// Small whole numbers, so that many are equal; some NaN where the dtype has it.
Tensor with_equals(const Shape& shape, Dtype dtype, uint64_t seed) {
  Generator generator(seed);
  Tensor x = cast(uniform(shape, generator, -20, 20), Dtype::int32);
  if (dtype == Dtype::int32) return x;
  x = cast(x, dtype);
  const Tensor broken = compare(CompareOp::less, uniform(shape, generator), full({}, 0.05));
  return where(broken, full({}, std::numeric_limits<double>::quiet_NaN(), dtype), x);
}

}  // namespace

TEST_CASE("sort finds the order of std::stable_sort, NaN last") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::int32}) {
    for (int64_t columns : {1, 2, 7, 64, 1000}) {
      for (bool descending : {false, true}) {
        const Tensor x = with_equals({3, 2, columns}, dtype, static_cast<uint64_t>(columns));
        const auto [values, indices] = sort(x, descending);
        REQUIRE(values.shape() == x.shape());
        REQUIRE(indices.shape() == x.shape());
        CHECK(same_bits(values, gather(x, -1, indices)));
        for (int64_t row = 0; row < 6; ++row) {
          const Tensor one = slice(reshape(x, {6, columns}), 0, row, row + 1);
          const Tensor order = slice(reshape(indices, {6, columns}), 0, row, row + 1);
          CHECK(order.to_vector<int32_t>() == reference_order(one.to_vector<double>(), descending));
        }
      }
    }
  }
}

TEST_CASE("sort takes 0 and -0 as equal and infinities as numbers") {
  const double infinity = std::numeric_limits<double>::infinity();
  const Tensor x = Tensor::from<double>({0, -0.0, NAN, infinity, -infinity, 0}, {6});
  CHECK(sort(x).second.to_vector<int32_t>() == std::vector<int32_t>{4, 0, 1, 5, 3, 2});
  CHECK(sort(x, true).second.to_vector<int32_t>() == std::vector<int32_t>{3, 0, 1, 5, 4, 2});
}

TEST_CASE("top_k is the head of a descending sort") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::int32}) {
    const Tensor x = with_equals({5, 333}, dtype, 3);
    const auto [sorted, order] = sort(x, true);
    for (int64_t k : {0, 1, 2, 17, 332, 333}) {
      const auto [values, indices] = top_k(x, k);
      CHECK(same_bits(values, slice(sorted, 1, 0, k)));
      CHECK(same_bits(indices, slice(order, 1, 0, k)));
    }
  }
}

TEST_CASE("cumulative_sum is the running sum of a float64 loop on every axis") {
  Generator generator(4);
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::int32}) {
    const Tensor x = cast(uniform({3, 5, 70, 2}, generator, -100, 100, Dtype::float64), dtype);
    for (int axis = -4; axis < 4; ++axis) {
      // The axis last, so that the reference runs along rows.
      const std::vector<double> from = transpose(x, axis, -1).to_vector<double>();
      const Tensor result = cumulative_sum(x, axis);
      REQUIRE(result.shape() == x.shape());
      const std::vector<double> to = transpose(result, axis, -1).to_vector<double>();
      const auto count = static_cast<size_t>(x.size(axis));
      double sum = 0;
      for (size_t i = 0; i < from.size(); ++i) {
        sum = i % count == 0 ? from[i] : sum + from[i];
        REQUIRE(to[i] == (dtype == Dtype::float32 ? static_cast<float>(sum) : sum));
      }
    }
  }
}

TEST_CASE("cumulative_sum of float32 does not build up rounding errors") {
  const Tensor sums = cumulative_sum(full({1000000}, 0.1));
  CHECK(sums.at({999999}) == static_cast<float>(1e6 * static_cast<double>(0.1f)));
}

TEST_CASE("cumulative_sum of int32 wraps around") {
  const Tensor x = Tensor::from({INT32_MAX, 1, 1}, {3});
  CHECK(cumulative_sum(x).to_vector<int32_t>() == std::vector<int32_t>{INT32_MAX, INT32_MIN, INT32_MIN + 1});
}

TEST_CASE("sort, top_k and cumulative_sum take views and empty tensors") {
  const Tensor x = with_equals({40, 30}, Dtype::float32, 5);
  const Tensor view = slice(transpose(x), 1, 1, 40, 3), dense = clone(view);
  CHECK(same_bits(sort(view).second, sort(dense).second));
  CHECK(same_bits(top_k(view, 4).second, top_k(dense, 4).second));
  CHECK(same_bits(cumulative_sum(view, 0), cumulative_sum(dense, 0)));
  CHECK(sort(zeros({3, 0})).first.shape() == Shape{3, 0});
  CHECK(sort(zeros({0, 3})).second.shape() == Shape{0, 3});
  CHECK(top_k(zeros({0, 3}), 2).first.shape() == Shape{0, 2});
  CHECK(cumulative_sum(zeros({2, 0, 3}), 1).shape() == Shape{2, 0, 3});
  CHECK(cumulative_sum(zeros({2, 3, 0}), 1).shape() == Shape{2, 3, 0});
}

TEST_CASE("sort, top_k and cumulative_sum give the same bits on any number of threads") {
  const Tensor x = with_equals({301, 257}, Dtype::float32, 6);
  Generator generator(7);
  const Tensor y = normal({19, 301, 70}, generator);
  CHECK(same_bits_on_threads([&] { return sort(x).second; }));
  CHECK(same_bits_on_threads([&] { return top_k(x, 9).second; }));
  for (int axis : {0, 1, 2}) CHECK(same_bits_on_threads([&] { return cumulative_sum(y, axis); }));
}

TEST_CASE("sort, top_k and cumulative_sum say what is wrong") {
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH_AS(sort(zeros({2}, Dtype::uint8)),
                       "sort: x is uint8, it takes bfloat16, float32, float64 or int32", Error);
  CHECK_THROWS_WITH_AS(sort(zeros({})), "sort: axis -1 is outside a tensor of shape []", Error);
  CHECK_THROWS_WITH_AS(sort(Tensor()), "sort: x is an undefined tensor", Error);
  CHECK_THROWS_WITH_AS(top_k(x, 4), "top_k: k is 4, it takes 0 to 3, the extent of axis -1 of x", Error);
  CHECK_THROWS_WITH_AS(top_k(x, -1), "top_k: k is -1, it takes 0 to 3, the extent of axis -1 of x", Error);
  CHECK_THROWS_WITH_AS(top_k(zeros({}), 1), "top_k: axis -1 is outside a tensor of shape []", Error);
  CHECK_THROWS_WITH_AS(top_k(zeros({2}, Dtype::uint8), 1),
                       "top_k: x is uint8, it takes bfloat16, float32, float64 or int32", Error);
  CHECK_THROWS_WITH_AS(cumulative_sum(x, 2), "cumulative_sum: axis 2 is outside a tensor of shape [2, 3]",
                       Error);
  CHECK_THROWS_WITH_AS(cumulative_sum(zeros({2}, Dtype::uint8)),
                       "cumulative_sum: x is uint8, it takes bfloat16, float32, float64 or int32", Error);
}

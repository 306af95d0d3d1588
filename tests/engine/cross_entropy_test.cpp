#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, subtract(a, b))).item();
}

bool all_zero(const Tensor& x) {
  return x.to_vector<double>() == std::vector<double>(static_cast<size_t>(x.elements()), 0);
}

}  // namespace

TEST_CASE("cross-entropy: words that a bias of -infinity rules out count as if they were not there") {
  constexpr int64_t kRows = 9, kWidth = 5, kWords = 40;
  Generator generator(3);
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    const Tensor hidden = normal({kRows, kWidth}, generator, 0, 1, dtype),
                 weight = normal({kWords, kWidth}, generator, 0, 1, dtype),
                 bias = normal({kWords}, generator, 0, 1, dtype),
                 row_weights = uniform({kRows}, generator, 0, 2, dtype);
    std::vector<int32_t> possible, impossible, targets;
    for (int32_t word = 0; word < kWords; ++word) (word % 3 == 1 ? possible : impossible).push_back(word);
    for (size_t row = 0; row < kRows; ++row) targets.push_back(static_cast<int32_t>(row % possible.size()));
    const auto int32s = [](const std::vector<int32_t>& values) {
      return Tensor::from(values, {static_cast<int64_t>(values.size())});
    };
    const auto only = [&](const Tensor& x) { return index_select(x, 0, int32s(possible)); };

    // Among the possible words alone, then among all with the others ruled out.
    const CrossEntropyResult wanted =
        linear_cross_entropy(hidden, only(weight), only(bias), int32s(targets), row_weights);
    const Tensor masked = clone(bias);
    for (int32_t word : impossible)
      fill(slice(masked, 0, word, word + 1), -std::numeric_limits<double>::infinity());
    for (int32_t& target : targets) target = possible[static_cast<size_t>(target)];
    const CrossEntropyResult got = linear_cross_entropy(hidden, weight, masked, int32s(targets), row_weights);

    const double tolerance = dtype == Dtype::float32 ? 2e-5 : 1e-13;
    CHECK(largest_difference(got.losses, wanted.losses) < tolerance);
    CHECK(largest_difference(got.hidden, wanted.hidden) < tolerance);
    CHECK(largest_difference(only(got.weight), wanted.weight) < tolerance);
    CHECK(largest_difference(only(got.bias), wanted.bias) < tolerance);
    for (const Tensor& x : {got.weight, got.bias}) {
      CHECK(all_zero(index_select(x, 0, int32s(impossible))));
    }
    const Tensor losses = linear_cross_entropy(hidden, weight, masked, int32s(targets)).losses;
    CHECK(largest_difference(losses, wanted.losses) < tolerance);
  }
}

TEST_CASE("cross-entropy: rows with an ignored target count as if they were not there") {
  Generator generator(5);
  const Tensor hidden = normal({5, 3}, generator), weight = normal({4, 3}, generator);
  const Tensor bias = normal({4}, generator), row_weights = uniform({5}, generator, 0.5, 2);
  const Tensor kept = Tensor::from<int32_t>({0, 2, 3}, {3});
  const auto rows = [&](const Tensor& x) { return index_select(x, 0, kept); };
  for (const int32_t ignored : {-100, -1, 0}) {
    const Tensor targets = Tensor::from<int32_t>({1, ignored, 3, 2, ignored}, {5});
    const CrossEntropyResult got =
        linear_cross_entropy(hidden, weight, bias, targets, row_weights, Precision::full, ignored);
    const CrossEntropyResult wanted =
        linear_cross_entropy(rows(hidden), weight, bias, rows(targets), rows(row_weights));
    CHECK(largest_difference(rows(got.losses), wanted.losses) < 1e-6);
    CHECK(largest_difference(rows(got.hidden), wanted.hidden) < 1e-6);
    CHECK(largest_difference(got.weight, wanted.weight) < 1e-6);
    CHECK(largest_difference(got.bias, wanted.bias) < 1e-6);
    for (const int64_t row : {1, 4}) {
      CHECK(got.losses.at({row}) == 0);
      CHECK(all_zero(slice(got.hidden, 0, row, row + 1)));
    }
  }
  CHECK_THROWS_WITH_AS(linear_cross_entropy(hidden, weight, bias, full({5}, -1, Dtype::int32), row_weights,
                                            Precision::full, -100),
                       "linear_cross_entropy: target -1 at row 0 is outside the vocabulary of 4", Error);
}

TEST_CASE("cross-entropy: where the target alone is possible, the loss and its gradients are 0") {
  Generator generator(4);
  const Tensor hidden = normal({2, 3}, generator), weight = normal({4, 3}, generator);
  const Tensor bias = full({4}, -std::numeric_limits<double>::infinity());
  fill(slice(bias, 0, 2, 3), 0.5);
  const CrossEntropyResult result =
      linear_cross_entropy(hidden, weight, bias, full({2}, 2, Dtype::int32), ones({2}));
  for (const Tensor& x : {result.losses, result.hidden, result.weight, result.bias}) CHECK(all_zero(x));
}

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

double largest_difference(const Tensor& a, const Tensor& b) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, subtract(a, b))).item();
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
      const Tensor others = index_select(x, 0, int32s(impossible));
      CHECK(others.to_vector<double>() == std::vector<double>(static_cast<size_t>(others.elements()), 0));
    }
    const Tensor losses = linear_cross_entropy(hidden, weight, masked, int32s(targets)).losses;
    CHECK(largest_difference(losses, wanted.losses) < tolerance);
  }
}

TEST_CASE("cross-entropy: where the target alone is possible, the loss and its gradients are 0") {
  Generator generator(4);
  const Tensor hidden = normal({2, 3}, generator), weight = normal({4, 3}, generator);
  const Tensor bias = full({4}, -std::numeric_limits<double>::infinity());
  fill(slice(bias, 0, 2, 3), 0.5);
  const CrossEntropyResult result =
      linear_cross_entropy(hidden, weight, bias, full({2}, 2, Dtype::int32), ones({2}));
  for (const Tensor& x : {result.losses, result.hidden, result.weight, result.bias}) {
    CHECK(x.to_vector<double>() == std::vector<double>(static_cast<size_t>(x.elements()), 0));
  }
}

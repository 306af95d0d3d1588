#include "haze/diffusion/token_filter.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include <doctest/doctest.h>

namespace haze {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor row_of(const std::vector<double>& values, Dtype dtype = Dtype::float64) {
  return cast(Tensor::from(values, {1, static_cast<int64_t>(values.size())}), dtype);
}

std::vector<double> logs(std::vector<double> probabilities) {
  for (double& p : probabilities) p = std::log(p);
  return probabilities;
}

// Which tokens of one row are left.
std::set<size_t> kept(const std::vector<double>& logits, const TokenFilter& filter,
                      Dtype dtype = Dtype::float64) {
  const std::vector<double> result = filtered_logits(row_of(logits, dtype), filter).to_vector<double>();
  std::set<size_t> tokens;
  for (size_t i = 0; i < result.size(); ++i) {
    if (result[i] != -kInfinity) tokens.insert(i);
  }
  return tokens;
}

std::vector<double> softmax_of(const std::vector<double>& logits) {
  return softmax(row_of(logits)).to_vector<double>();
}

}  // namespace

TEST_CASE("temperature divides the logits: probabilities become p^(1/temperature), normalised") {
  const std::vector<double> p = {0.5, 0.2, 0.05, 0.25};
  for (double temperature : {0.3, 1.0, 2.5}) {
    const std::vector<double> result =
        softmax_of(filtered_logits(row_of(logs(p)), {.temperature = temperature}).to_vector<double>());
    double total = 0;
    for (double value : p) total += std::pow(value, 1 / temperature);
    for (size_t i = 0; i < p.size(); ++i) {
      CHECK(result[i] == doctest::Approx(std::pow(p[i], 1 / temperature) / total).epsilon(1e-12));
    }
  }
}

TEST_CASE("the smallest temperatures leave the most likely tokens, and equals among them equally likely") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    for (double temperature : {1e-30, 1e-40, 1e-300, std::numeric_limits<double>::denorm_min()}) {
      for (double scale : {1e-3, 1.0, 1e4}) {
        CAPTURE(temperature);
        CAPTURE(scale);
        const Tensor logits = cast(row_of({-scale, 2 * scale, -kInfinity, 2 * scale, -3 * scale}), dtype);
        const Tensor result = filtered_logits(logits, {.temperature = temperature});
        CHECK(softmax(result).to_vector<double>() == std::vector<double>{0, 0.5, 0, 0.5, 0});
        CHECK(filtered_logits(logits, {.temperature = temperature, .top_p = 0.4}).to_vector<double>() ==
              std::vector<double>{-kInfinity, 0, -kInfinity, -kInfinity, -kInfinity});
      }
    }
  }
}

TEST_CASE("forbidden tokens have probability 0, and the others what is left, filtered as usual") {
  const std::vector<double> logits = logs({0.4, 0.3, 0.2, 0.1});
  const std::vector<double> result =
      softmax_of(filtered_logits(row_of(logits), {.forbidden = {0, 2}}).to_vector<double>());
  CHECK(result[0] == 0);
  CHECK(result[1] == doctest::Approx(0.75).epsilon(1e-12));
  CHECK(result[2] == 0);
  CHECK(result[3] == doctest::Approx(0.25).epsilon(1e-12));
  CHECK(kept(logits, {.temperature = 0, .forbidden = {0}}) == std::set<size_t>{1});
  CHECK(kept(logits, {.top_k = 2, .forbidden = {0}}) == std::set<size_t>{1, 2});
  // Of 0.6, 0.3 and 0.2 hold 5/6.
  CHECK(kept(logits, {.top_p = 0.8, .forbidden = {0}}) == std::set<size_t>{1, 2});
}

TEST_CASE("temperature 0 leaves the most likely token, the first of equals") {
  CHECK(kept({0.1, 3, 2, 3, -1}, {.temperature = 0}) == std::set<size_t>{1});
  CHECK(kept({-kInfinity, -5, -kInfinity}, {.temperature = 0}) == std::set<size_t>{1});
}

TEST_CASE("top_k leaves the k most likely tokens, at most all of them") {
  const std::vector<double> logits = {0.1, 3, 2, 3, -1};
  CHECK(kept(logits, {.top_k = 1}) == std::set<size_t>{1});
  CHECK(kept(logits, {.top_k = 2}) == std::set<size_t>{1, 3});
  CHECK(kept(logits, {.top_k = 3}) == std::set<size_t>{1, 2, 3});
  CHECK(kept(logits, {.top_k = 50}) == std::set<size_t>{0, 1, 2, 3, 4});
  CHECK(kept(logits, {.top_k = 0}) == std::set<size_t>{0, 1, 2, 3, 4});
}

TEST_CASE("top_p leaves the fewest most likely tokens that reach p: the one that crosses p is kept") {
  const std::vector<double> logits = logs({0.125, 0.5, 0.0625, 0.25, 0.0625});
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    CHECK(kept(logits, {.top_p = 1e-9}, dtype) == std::set<size_t>{1});
    CHECK(kept(logits, {.top_p = 0.49}, dtype) == std::set<size_t>{1});
    CHECK(kept(logits, {.top_p = 0.51}, dtype) == std::set<size_t>{1, 3});
    CHECK(kept(logits, {.top_p = 0.74}, dtype) == std::set<size_t>{1, 3});
    CHECK(kept(logits, {.top_p = 0.76}, dtype) == std::set<size_t>{0, 1, 3});
    CHECK(kept(logits, {.top_p = 0.9}, dtype) == std::set<size_t>{0, 1, 2, 3});
    CHECK(kept(logits, {.top_p = 1}, dtype) == std::set<size_t>{0, 1, 2, 3, 4});
  }
}

TEST_CASE("top_p agrees with adding up sorted probabilities in long double, for 5000 tokens") {
  Generator generator(1);
  for (double p : {0.1, 0.5, 0.9, 0.99}) {
    const std::vector<double> logits = normal({5000}, generator, 0, 3, Dtype::float64).to_vector<double>();
    std::vector<size_t> order(logits.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
    long double total = 0, sum = 0;
    for (double x : logits) total += std::exp(static_cast<long double>(x));
    std::set<size_t> expected;
    for (size_t i : order) {
      expected.insert(i);
      if ((sum += std::exp(static_cast<long double>(logits[i]))) >= p * total) break;
    }
    CHECK(kept(logits, {.top_p = p}) == expected);
  }
}

TEST_CASE("filters apply in the order temperature, top_k, top_p, and leave what they keep as it was") {
  const std::vector<double> logits = logs({0.4, 0.3, 0.2, 0.1});
  // Of the 3 left by top_k, renormalised, the first two hold 7/9 = 0.78; of all four they hold 0.7.
  CHECK(kept(logits, {.top_k = 3, .top_p = 0.75}) == std::set<size_t>{0, 1});
  CHECK(kept(logits, {.top_p = 0.75}) == std::set<size_t>{0, 1, 2});
  // Squared by the temperature, 16 : 9 : 4 : 1, the first two hold 25/30.
  CHECK(kept(logits, {.temperature = 0.5, .top_p = 0.8}) == std::set<size_t>{0, 1});
  const std::vector<double> result =
      filtered_logits(row_of(logits), {.temperature = 2, .top_k = 2}).to_vector<double>();
  // Up to a constant, which no probability depends on.
  CHECK(result[0] - result[1] == doctest::Approx((logits[0] - logits[1]) / 2).epsilon(1e-15));
  CHECK(result[2] == -kInfinity);
}

TEST_CASE("each row is filtered by itself, the logits given are left alone, and strides are read") {
  const Tensor logits = Tensor::from({1.0, 5.0, 2.0, 7.0, 3.0, 1.0}, {2, 3});
  const std::vector<double> expected = {-kInfinity, 5, -kInfinity, 7, -kInfinity, -kInfinity};
  CHECK(filtered_logits(logits, {.top_k = 1}).to_vector<double>() == expected);
  CHECK(logits.to_vector<double>() == std::vector<double>{1, 5, 2, 7, 3, 1});
  const Tensor turned = transpose(contiguous(transpose(logits)));
  CHECK(filtered_logits(turned, {.top_k = 1}).to_vector<double>() == expected);
  CHECK(filtered_logits(zeros({0, 3}), {.top_k = 1}).shape() == Shape{0, 3});
}

TEST_CASE("filters run on the device of the logits, and give the cpu's bits") {
  Generator generator(1);
  const Tensor logits = normal({20, 50}, generator, 0, 3);
  const TokenFilter filters[] = {{.forbidden = {3, 7}},
                                 {.temperature = 0.7},
                                 {.temperature = 0},
                                 {.top_k = 5},
                                 {.top_k = 9, .top_p = 0.8},
                                 {.top_p = 0.9},
                                 {.temperature = 0.5, .top_k = 20, .top_p = 0.9, .forbidden = {0}}};
  for (const TokenFilter& filter : filters) {
    const Tensor there = filtered_logits(to(logits, Device::guarded), filter);
    CHECK(there.device() == Device::guarded);
    CHECK(there.to_vector<float>() == filtered_logits(logits, filter).to_vector<float>());
  }
}

TEST_CASE("a NaN among the logits is left for categorical() to refuse, whatever the filter") {
  const Tensor logits = row_of({1, 5, std::nan(""), 3});
  const TokenFilter filters[] = {
      {.temperature = 2}, {.temperature = 0}, {.top_k = 1}, {.top_p = 0.5}, {.top_k = 2, .top_p = 0.5}};
  for (const TokenFilter& filter : filters) {
    CHECK_THROWS_AS(categorical(filtered_logits(logits, filter), zeros({1}, Dtype::float64)), Error);
  }
}

TEST_CASE("filters say what is wrong") {
  const Tensor logits = zeros({1, 3});
  CHECK_THROWS_WITH_AS(filtered_logits(logits, {.temperature = -1}), "sampling: temperature -1 is negative",
                       Error);
  CHECK_THROWS_AS(filtered_logits(logits, {.temperature = NAN}), Error);
  CHECK_THROWS_WITH_AS(filtered_logits(logits, {.top_k = -1}), "sampling: top_k -1 is negative", Error);
  CHECK_THROWS_WITH_AS(filtered_logits(logits, {.top_p = 0}), "sampling: top_p 0 is not in (0, 1]", Error);
  CHECK_THROWS_AS(filtered_logits(logits, {.top_p = 1.01}), Error);
  for (int32_t token : {-1, 3}) {
    CHECK_THROWS_WITH_AS(
        filtered_logits(logits, {.forbidden = {token}}),
        fmt::format("sampling: the forbidden token {} is outside the vocabulary of 3", token).c_str(), Error);
  }
}

}  // namespace haze

#include "haze/diffusion/gaussian/loss_history.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

constexpr int kSteps = 5;

double loss_of(int t) {
  return 0.1 * t * t;
}

// Adds `count` losses of each t.
void fill_history(LossHistory& history, int count) {
  for (int i = 0; i < count; ++i) {
    for (int t = 1; t <= kSteps; ++t)
      history.add(full({1}, t, Dtype::int32), full({1}, loss_of(t), Dtype::float32));
  }
}

}  // namespace

TEST_CASE("t is uniform until each t has 10 losses, then proportional to the root of their mean square") {
  LossHistory history(kSteps);
  fill_history(history, 9);
  for (int i = 0; i < 10; ++i) history.add(full({1}, 2, Dtype::int32), full({1}, 7.0));
  for (double p : history.probabilities()) CHECK(p == 1.0 / kSteps);
  LossHistory whole(kSteps);
  fill_history(whole, 10);
  double total = 0;
  for (int t = 1; t <= kSteps; ++t) total += loss_of(t);
  for (int t = 1; t <= kSteps; ++t) {
    CHECK(whole.probabilities()[static_cast<size_t>(t) - 1] ==
          doctest::Approx(0.999 * loss_of(t) / total + 0.001 / kSteps).epsilon(1e-6));
  }
}

TEST_CASE("only the last 10 losses of a t count") {
  LossHistory history(kSteps);
  fill_history(history, 10);
  for (int i = 0; i < 1000; ++i) history.add(full({1}, 1, Dtype::int32), full({1}, 100.0));
  fill_history(history, 3);
  const double first = std::sqrt((7 * 100.0 * 100.0 + 3 * loss_of(1) * loss_of(1)) / 10);
  double total = first;
  for (int t = 2; t <= kSteps; ++t) total += loss_of(t);
  CHECK(history.probabilities()[0] == doctest::Approx(0.999 * first / total + 0.001 / kSteps).epsilon(1e-6));
}

TEST_CASE("adding a loss writes its slot: no copy of the history is made") {
  constexpr int kMany = 100000;
  LossHistory history(kMany);
  const Tensor t = full({1}, kMany, Dtype::int32), loss = full({1}, 1.0);
  reset_peak_memory();
  const size_t before = memory_statistics().in_use;
  history.add(t, loss);
  CHECK(memory_statistics().peak - before < size_t{kMany} * LossHistory::kLength);  // a quarter of the floats
}

TEST_CASE("the weighted loss has the mean of a uniform t, exactly: E_p[w L] = E_uniform[L]") {
  LossHistory history(kSteps);
  fill_history(history, 10);
  const std::vector<double> p = history.probabilities();
  Generator generator(1);
  const WeightedSteps draw = history.draw(1000, generator);
  const std::vector<int32_t> t = draw.t.to_vector<int32_t>();
  const std::vector<float> weights = draw.weights.to_vector<float>();
  std::vector<double> weight_of(kSteps);
  for (size_t i = 0; i < t.size(); ++i) weight_of.at(static_cast<size_t>(t[i]) - 1) = weights[i];
  double weighted = 0, uniform = 0;
  for (int step = 1; step <= kSteps; ++step) {
    const auto i = static_cast<size_t>(step) - 1;
    weighted += p[i] * weight_of[i] * (step * 3.0 - 7);
    uniform += (step * 3.0 - 7) / kSteps;
  }
  CHECK(weighted == doctest::Approx(uniform).epsilon(1e-6));
}

TEST_CASE("each t is drawn as often as its probability says, by every example of a batch") {
  const std::vector<double> p = {0.05, 0.0, 0.6, 0.25, 0.1};
  constexpr int kBatch = 3, kBatches = 20000;
  for (const bool antithetic : {true, false}) {
    Generator generator(2);
    std::vector<std::vector<double>> counts(kBatch, std::vector<double>(kSteps));
    for (int batch = 0; batch < kBatches; ++batch) {
      const std::vector<int32_t> t = draw_steps(kBatch, p, antithetic, generator);
      for (size_t i = 0; i < kBatch; ++i) ++counts[i].at(static_cast<size_t>(t[i]) - 1);
    }
    for (const std::vector<double>& of_example : counts) {
      CHECK(of_example[1] == 0);
      double chi_squared = 0;
      for (size_t k = 0; k < kSteps; ++k) {
        const double expected = p[k] * kBatches;
        if (expected > 0) chi_squared += (of_example[k] - expected) * (of_example[k] - expected) / expected;
      }
      CHECK(chi_squared < 16.27);  // 3 degrees of freedom, 99.9 %
    }
  }
}

}  // namespace haze

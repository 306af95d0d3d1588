#include "haze/diffusion/gaussian/loss_history.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "haze/diffusion/random_times.h"

namespace haze {

LossHistory::LossHistory(int steps) {
  add_host_buffer("losses", losses_, zeros({steps, kLength}));
  add_host_buffer("counts", counts_, zeros({steps}, Dtype::int32));
}

std::vector<double> LossHistory::probabilities() const {
  const std::vector<int32_t> counts = counts_.to_vector<int32_t>();
  const size_t steps = counts.size();
  const double uniform = 1 / static_cast<double>(steps);
  std::vector<double> p(steps, uniform);
  if (std::ranges::any_of(counts, [](int32_t count) { return count < kLength; })) return p;
  const std::vector<double> losses = losses_.to_vector<double>();
  for (size_t t = 0; t < steps; ++t) {
    const double* history = losses.data() + static_cast<int64_t>(t) * kLength;
    p[t] = std::sqrt(std::inner_product(history, history + kLength, history, 0.0) / kLength);
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& probability : p) {
    const double share = total > 0 ? probability / total : uniform;
    probability = (1 - kUniformShare) * share + kUniformShare * uniform;
  }
  return p;
}

WeightedSteps LossHistory::draw(int64_t count, Generator& generator) const {
  const std::vector<double> p = probabilities();
  const std::vector<int32_t> t = draw_steps(count, p, /*antithetic=*/true, generator);
  std::vector<float> weights;
  for (const int32_t step : t) {
    const double probability = p[static_cast<size_t>(step) - 1];
    weights.push_back(static_cast<float>(1 / (static_cast<double>(p.size()) * probability)));
  }
  return {.t = Tensor::from(t, {count}), .weights = Tensor::from(weights, {count})};
}

void LossHistory::add(const Tensor& t, const Tensor& losses) {
  const std::vector<int32_t> steps = t.to_vector<int32_t>();
  const std::vector<double> values = losses.to_vector<double>();
  int32_t* counts = counts_.data<int32_t>();
  for (size_t i = 0; i < steps.size(); ++i) {
    const int64_t step = steps[i] - 1;
    int32_t& count = counts[step];
    const int64_t slot = count % kLength;
    fill(slice(slice(losses_, 0, step, step + 1), 1, slot, slot + 1), values[i]);
    count = count + 1 < 2 * kLength ? count + 1 : static_cast<int32_t>(kLength);
  }
}

}  // namespace haze

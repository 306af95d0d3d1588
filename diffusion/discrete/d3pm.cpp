#include "haze/diffusion/discrete/d3pm.h"

#include <numeric>

#include "haze/diffusion/discrete/masked_loss.h"

namespace haze {

Tensor absorbing_transition(int64_t states, int64_t mask, double beta) {
  if (mask < 0 || mask >= states) fail("absorbing_transition: mask {} is not one of {} states", mask, states);
  if (!(beta >= 0 && beta <= 1)) fail("absorbing_transition: beta {} is not in [0, 1]", beta);
  const Tensor q = zeros({states, states}, Dtype::float64);
  double* entries = q.data<double>();
  for (int64_t i = 0; i < states; ++i) {
    entries[i * states + i] = 1 - beta;
    entries[i * states + mask] += beta;
  }
  return q;
}

Tensor transition_step(const Tensor& distribution, const Tensor& transition) {
  if (distribution.rank() == 1) return reshape(transition_step(unsqueeze(distribution, 0), transition), {-1});
  return matmul(distribution, transition);
}

Tensor posterior(int64_t x_t, int64_t x_0, const Tensor& transition, const Tensor& cumulative_before) {
  const int64_t states = transition.size(0);
  if (x_t < 0 || x_t >= states || x_0 < 0 || x_0 >= states) {
    fail("posterior: x_t = {} and x_0 = {} must be among {} states", x_t, x_0, states);
  }
  const Tensor from_t = reshape(slice(transition, 1, x_t, x_t + 1), {states});         // q(x_t | x_{t-1} = i)
  const Tensor from_0 = reshape(slice(cumulative_before, 0, x_0, x_0 + 1), {states});  // q(x_{t-1} = i | x_0)
  const Tensor joint = multiply(from_t, from_0);
  const Tensor total = sum(joint);  // q(x_t | x_0)
  if (total.item() == 0) fail("posterior: x_t = {} cannot come from x_0 = {}", x_t, x_0);
  return divide(joint, total);
}

double unmask_probability(const DiscreteNoise& noise, int t) {
  if (t < 1 || t > noise.steps()) fail("unmask_probability: t = {} is not in 1..{}", t, noise.steps());
  return (noise.alpha_bar[t - 1] - noise.alpha_bar[t]) / (1 - noise.alpha_bar[t]);
}

namespace {

// Everything the loss needs to know about a choice of t for each sequence.
struct TimesInBatch {
  std::vector<double> mask_probability, weight, time;

  void add(const DiscreteNoise& noise, int t, double weight_of_t) {
    mask_probability.push_back(1 - noise.alpha_bar[t]);
    weight.push_back(weight_of_t);
    time.push_back(static_cast<double>(t) / noise.steps());
  }
};

}  // namespace

DiffusionLoss d3pm_loss(const Denoiser& denoiser, const TextBatch& x_0, const DiscreteNoise& noise,
                        const D3pmOptions& options, Generator& generator, const ForwardContext& context) {
  TimesInBatch times;
  std::vector<double> bound_weight;
  const int steps = noise.steps();
  for (int64_t i = 0; i < x_0.sequences.count; ++i) {
    const int t = 1 + static_cast<int>(generator.below(static_cast<uint64_t>(steps)));
    bound_weight.push_back(steps * unmask_probability(noise, t));
    times.add(noise, t, bound_weight.back() + options.auxiliary_weight);
  }
  const MaskedBatch masked = mask_tokens(x_0, times.mask_probability, denoiser.mask_id(), generator);
  return masked_loss(denoiser, x_0, masked, {times.time, times.weight, bound_weight}, context);
}

std::vector<double> d3pm_bound_terms(const Denoiser& denoiser, const TextBatch& x_0,
                                     const DiscreteNoise& noise, std::span<const int> t,
                                     Generator& generator) {
  TimesInBatch times;
  for (int t_of_sequence : t) times.add(noise, t_of_sequence, unmask_probability(noise, t_of_sequence));
  const MaskedBatch masked = mask_tokens(x_0, times.mask_probability, denoiser.mask_id(), generator);
  std::vector<double> terms = sequence_losses(denoiser, x_0, masked, times.time);
  for (size_t i = 0; i < terms.size(); ++i) terms[i] *= times.weight[i];
  return terms;
}

std::vector<double> d3pm_bound(const Denoiser& denoiser, const TextBatch& x_0, const DiscreteNoise& noise,
                               int samples, Generator& generator) {
  if (samples < 1) fail("d3pm_bound: {} samples", samples);
  const auto count = static_cast<size_t>(x_0.sequences.count);
  std::vector<double> bound(count);
  for (int t = 1; t <= noise.steps(); ++t) {
    const std::vector<int> same_t(count, t);
    for (int s = 0; s < samples; ++s) {
      const std::vector<double> terms = d3pm_bound_terms(denoiser, x_0, noise, same_t, generator);
      for (size_t i = 0; i < count; ++i) bound[i] += terms[i] / samples;
    }
  }
  return bound;
}

}  // namespace haze

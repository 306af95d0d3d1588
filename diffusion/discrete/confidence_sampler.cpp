#include "haze/diffusion/discrete/confidence_sampler.h"

#include <algorithm>

#include "haze/diffusion/discrete/confidence.h"

namespace haze {
namespace {

// `Schedule` is that of continuous or of discrete time.
template <typename Schedule>
Samples sample_by_confidence(const Denoiser& denoiser, std::span<const Request> requests,
                             const Schedule& schedule, double threshold, const SamplerOptions& options,
                             Generator& generator) {
  if (!(threshold >= 0 && threshold <= 1)) fail("sampling: a threshold of {} is outside 0..1", threshold);
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  const auto confident = [&](const Tensor& logits, const std::vector<size_t>& masked_counts) {
    const Tensor largest = two_largest_probabilities(logits, canvas.forbidden());
    const std::vector<double> confidence = checked_confidences(slice(largest, 1, 0, 1));
    std::vector<std::vector<size_t>> chosen(masked_counts.size());
    auto first = confidence.begin();
    for (size_t text = 0; text < masked_counts.size(); ++text) {
      const auto last = first + static_cast<int64_t>(masked_counts[text]);
      const auto best = std::max_element(first, last);
      for (auto one = first; one != last; ++one) {
        if (*one > threshold || one == best) chosen[text].push_back(static_cast<size_t>(one - first));
      }
      first = last;
    }
    return chosen;
  };
  canvas.set_expected_times(schedule);
  canvas.observe(0, canvas.most_masked());
  for (int64_t step = 1; canvas.most_masked() > 0; ++step) {
    canvas.reveal_chosen(confident);
    canvas.set_expected_times(schedule);
    canvas.observe(step, step + canvas.most_masked());
  }
  return canvas.finish();
}

}  // namespace

Samples confidence_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, double threshold, const SamplerOptions& options,
                          Generator& generator) {
  return sample_by_confidence(denoiser, requests, schedule, threshold, options, generator);
}

Samples confidence_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const DiscreteNoise& noise, double threshold, const SamplerOptions& options,
                          Generator& generator) {
  return sample_by_confidence(denoiser, requests, noise, threshold, options, generator);
}

}  // namespace haze

#include "haze/diffusion/discrete/top_margin_sampler.h"

#include <algorithm>

#include "haze/diffusion/discrete/confidence.h"

namespace haze {
namespace {

// How far the most likely token leads the second, in probability, at each row of logits without the forbidden
// tokens.
std::vector<double> margins(const Tensor& logits, const std::vector<int32_t>& forbidden) {
  const Tensor largest = two_largest_probabilities(logits, forbidden);
  return checked_confidences(subtract(slice(largest, 1, 0, 1), slice(largest, 1, 1, 2)));
}

}  // namespace

Samples top_margin_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, const SamplerOptions& options,
                          Generator& generator) {
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  const auto largest_margins = [&](const Tensor& logits, const std::vector<size_t>& masked_counts) {
    const std::vector<double> margin = margins(logits, canvas.forbidden());
    std::vector<std::vector<size_t>> chosen;
    auto first = margin.begin();
    for (const size_t count : masked_counts) {
      const auto last = first + static_cast<int64_t>(count);
      chosen.push_back({static_cast<size_t>(std::max_element(first, last) - first)});
      first = last;
    }
    return chosen;
  };
  const int64_t steps = canvas.most_masked();
  canvas.set_expected_times(schedule);
  canvas.observe(0, steps);
  for (int64_t step = 1; step <= steps; ++step) {
    canvas.reveal_chosen(largest_margins);
    canvas.set_expected_times(schedule);
    canvas.observe(step, steps);
  }
  return canvas.finish();
}

}  // namespace haze

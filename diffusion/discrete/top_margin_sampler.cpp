#include "haze/diffusion/discrete/top_margin_sampler.h"

#include <algorithm>
#include <cmath>

#include "haze/diffusion/token_filter.h"

namespace haze {
namespace {

// How far the most likely token leads the second, in probability, at each row of logits without the forbidden
// tokens.
std::vector<double> margins(const Tensor& logits, const std::vector<int32_t>& forbidden) {
  const Tensor allowed = cast(filtered_logits(logits, {.forbidden = forbidden}), Dtype::float64);
  const Tensor weights = unary(UnaryOp::exp, subtract(allowed, reduce(ReduceOp::max, allowed, {1}, true)));
  const Tensor largest = top_k(weights, std::min<int64_t>(weights.size(1), 2)).first;
  const Tensor first_two = pad(largest, 1, 0, 2 - largest.size(1));  // a single token leads by all
  const Tensor lead = subtract(slice(first_two, 1, 0, 1), slice(first_two, 1, 1, 2));
  std::vector<double> result = divide(lead, sum(weights, {1}, true)).to_vector<double>();
  for (const double margin : result) {
    if (std::isnan(margin)) fail("sampling: the network's logits are no distribution: NaN or infinity");
  }
  return result;
}

}  // namespace

Samples top_margin_sample(const Denoiser& denoiser, std::span<const Request> requests,
                          const MaskingSchedule& schedule, const SamplerOptions& options,
                          Generator& generator) {
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  const auto set_times = [&] {
    for (size_t text = 0; text < canvas.count(); ++text) {
      canvas.set_time(text, schedule.time_of_mask_probability(canvas.masked_share(text)));
    }
  };
  const auto largest_margins = [&](const Tensor& logits, const std::vector<size_t>& masked_counts) {
    const std::vector<double> margin = margins(logits, canvas.forbidden());
    std::vector<size_t> chosen;
    auto first = margin.begin();
    for (const size_t count : masked_counts) {
      const auto last = first + static_cast<int64_t>(count);
      chosen.push_back(static_cast<size_t>(std::max_element(first, last) - first));
      first = last;
    }
    return chosen;
  };
  const int64_t steps = canvas.most_masked();
  set_times();
  canvas.observe(0, steps);
  for (int64_t step = 1; step <= steps; ++step) {
    canvas.reveal_chosen(largest_margins);
    set_times();
    canvas.observe(step, steps);
  }
  return canvas.finish();
}

}  // namespace haze

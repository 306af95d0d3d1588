#include "haze/diffusion/discrete/first_hitting_sampler.h"

#include <cmath>

namespace haze {

Samples first_hitting_sample(const Denoiser& denoiser, std::span<const Request> requests,
                             const MaskingSchedule& schedule, const SamplerOptions& options,
                             Generator& generator) {
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  std::vector<double> mask_probability;
  for (size_t text = 0; text < canvas.count(); ++text) {
    mask_probability.push_back(canvas.masked_share(text));
    canvas.set_time(text, schedule.time_of_mask_probability(mask_probability[text]));
  }
  const int64_t steps = canvas.most_masked();
  canvas.observe(0, steps);
  for (int64_t step = 1; step <= steps; ++step) {
    std::vector<Positions> appearing(canvas.count());
    for (size_t text = 0; text < canvas.count(); ++text) {
      const size_t n = canvas.masked(text).size();
      if (n == 0) continue;
      Generator& random = canvas.generator(text);
      mask_probability[text] *= std::pow(1 - random.uniform(), 1 / static_cast<double>(n));
      canvas.set_time(text, schedule.time_of_mask_probability(mask_probability[text]));
      appearing[text] = {canvas.take(text, random.below(n))};
    }
    canvas.reveal(appearing);
    canvas.observe(step, steps);
  }
  return canvas.finish();
}

}  // namespace haze

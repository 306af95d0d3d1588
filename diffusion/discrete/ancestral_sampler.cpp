#include "haze/diffusion/discrete/ancestral_sampler.h"

namespace haze {

Samples ancestral_sample(const Denoiser& denoiser, std::span<const Request> requests,
                         const SamplingGrid& grid, const SamplerOptions& options, Generator& generator) {
  const NoGradient scope;
  Canvas canvas(denoiser, requests, options, generator);
  std::vector<double> masked_at_start;
  std::vector<GridPoint> t;
  for (size_t text = 0; text < canvas.count(); ++text) {
    masked_at_start.push_back(canvas.masked_share(text));
    t.push_back(grid.at(0, masked_at_start[text]));
    canvas.set_time(text, t[text].time);
  }
  canvas.observe(0, grid.steps());
  for (int step = 1; step <= grid.steps(); ++step) {
    std::vector<Positions> appearing(canvas.count());
    std::vector<GridPoint> s;
    for (size_t text = 0; text < canvas.count(); ++text) {
      s.push_back(grid.at(step, masked_at_start[text]));
      const double p_t = t[text].mask_probability, p_s = s[text].mask_probability;
      // A steep schedule's probability can be 0 before its time is.
      const double appears = p_t > 0 ? (p_t - p_s) / p_t : 1;
      appearing[text] = canvas.take_if(text, [&] { return canvas.generator(text).uniform() < appears; });
    }
    canvas.reveal(appearing);
    t = s;
    for (size_t text = 0; text < canvas.count(); ++text) canvas.set_time(text, t[text].time);
    canvas.observe(step, grid.steps());
  }
  return canvas.finish();
}

}  // namespace haze

#include "haze/diffusion/gaussian/level_samplers.h"

#include "haze/diffusion/gaussian/ddim_sampler.h"
#include "haze/diffusion/gaussian/dpm_solver_sampler.h"
#include "haze/diffusion/gaussian/heun_sampler.h"
#include "haze/diffusion/gaussian/value_examples.h"

namespace haze {

SettingsTable level_sampler_settings() {
  return {
      choice_setting("sample.sampler", "ancestral", {"ancestral", "ddim", "dpm-solver", "heun"},
                     "how the levels of noise are gone through; heun asks the network twice"),
      since(3, only_with(real_setting("sample.eta", 0, between(0, 1),
                                      "noise of each step; 0: none, 1: as ancestral"),
                         "sample.sampler", {"ddim"})),
      since(3,
            boolean_setting("sample.clip", true, "images: what the network says of x_0 is kept in [-1, 1]")),
  };
}

std::vector<NoiseLevel> sampling_levels(const Settings& settings, const NoiseSchedule& schedule, int count) {
  if (count > schedule.steps()) fail("sampling_levels: {} levels of {} steps", count, schedule.steps());
  if (settings.text("sample.sampler") == "dpm-solver") return log_snr_levels(schedule, count);
  return strided_levels(schedule, count);
}

Tensor sample_levels(const Settings& settings, const GaussianDenoiser& denoise,
                     std::span<const NoiseLevel> levels, ReverseVariance variance, Tensor x,
                     const NoiseSource& noise, const LevelObserver& observer,
                     const LogProbabilityGradient& gradient) {
  const std::string& sampler = settings.text("sample.sampler");
  if (gradient) {
    const double scale = settings.real("sample.guidance");
    if (sampler == "ancestral") {
      return guided_ancestral_sample(denoise, levels, variance, gradient, scale, std::move(x), noise,
                                     observer);
    }
    return sample_levels(settings, guided(denoise, gradient, scale), levels, variance, std::move(x), noise,
                         observer);
  }
  if (sampler == "ancestral")
    return ancestral_sample(denoise, levels, variance, std::move(x), noise, observer);
  if (sampler == "ddim")
    return ddim_sample(denoise, levels, settings.real("sample.eta"), std::move(x), noise, observer);
  if (sampler == "dpm-solver") return dpm_solver_sample(denoise, levels, std::move(x), observer);
  if (sampler == "heun") return heun_sample(denoise, levels, std::move(x), observer);
  fail("sample_levels: there is no sampler '{}'", sampler);
}

Samples sample_from_noise(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                          const LevelSampler& sampler, int64_t count, const Shape& shape,
                          const SampleObserver& observer, Generator& generator, Device device) {
  const NoGradient scope;
  Samples samples;
  const GaussianDenoiser counted = [&](const Tensor& x, const NoiseLevel& level) {
    samples.network_calls += x.size(0);
    return denoise(x, level);
  };
  const LevelObserver observe = [&](size_t i, const Tensor& x) {
    if (!observer) return;
    observer({.step = static_cast<int64_t>(i),
              .steps = std::ssize(levels) - 1,
              .values = &x,
              .time = std::vector<double>(static_cast<size_t>(count), levels[i].time)});
  };
  const NoiseSource noise = example_noise(count, generator, device);
  const Tensor x_T = noise(batch_shape(count, shape), Dtype::float32);  // Algorithm 2, line 1
  samples.values = sampler(counted, levels, x_T, noise, observe);       // lines 2 to 5
  return samples;                                                       // line 6
}

}  // namespace haze

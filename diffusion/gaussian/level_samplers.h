#pragma once

#include "haze/diffusion/gaussian/classifier_guidance.h"
#include "haze/diffusion/model.h"

/// Shared by models that sample over levels of noise: the rows of section [sample], and the choice of a
/// sampler.
namespace haze {

/// sample.sampler, what the samplers take, and sample.clip.
SettingsTable level_sampler_settings();

/// `count` levels of a schedule, and that of the data, as the sampler takes them: those of DPM-Solver++ are
/// even in the log-SNR, those of the others in t. Throws Error where count is not in 1..T.
std::vector<NoiseLevel> sampling_levels(const Settings& settings, const NoiseSchedule& schedule, int count);

/// Goes through `levels` with the sampler that sample.sampler names. x [n, ...] is at levels[0]; the result
/// is at the last level. The variance is that of the ancestral sampler. A `gradient`, if there is one, leads
/// the samples, times sample.guidance: the ancestral sampler step by step, the others by a guided denoiser.
Tensor sample_levels(const Settings& settings, const GaussianDenoiser& denoise,
                     std::span<const NoiseLevel> levels, ReverseVariance variance, Tensor x,
                     const NoiseSource& noise, const LevelObserver& observer = {},
                     const LogProbabilityGradient& gradient = {});

/// Any sampler of levels, with what it takes filled in.
using LevelSampler = std::function<Tensor(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                          Tensor x, const NoiseSource& noise, const LevelObserver& observer)>;

/// `count` examples of `shape`, real [count, shape...], on `device`: what the sampler makes of x from N(0,
/// I), with the calls of the denoiser counted. Example i depends on the generator and i alone. The observer
/// may be empty.
Samples sample_from_noise(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                          const LevelSampler& sampler, int64_t count, const Shape& shape,
                          const SampleObserver& observer, Generator& generator, Device device = Device::cpu);

}  // namespace haze

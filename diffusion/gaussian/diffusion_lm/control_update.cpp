#include "haze/diffusion/gaussian/diffusion_lm/control_update.h"

#include <optional>

#include "haze/nn/optimizer.h"

namespace haze {

Tensor control_update(const Tensor& sampled, const ReverseStep& step, const NoiseLevel& level,
                      const LogProbability& control, const ControlOptions& options) {
  if (options.updates < 0 || !(options.step_size > 0) || !(options.fluency >= 0)) {
    fail("control_update: {} updates of size {} with lambda {}", options.updates, options.step_size,
         options.fluency);
  }
  const EnableGradient scope;  // samplers record nothing
  Variable x = Variable::leaf(clone(sampled));
  const Variable mean(step.mean);
  std::optional<Adagrad> adagrad;
  for (int k = 0; k < options.updates; ++k) {
    if (!adagrad || options.adagrad == AdagradUse::each_update)
      adagrad.emplace(std::vector<NamedParameter>{{"x", &x}});
    x.clear_gradient();
    Variable distance = square(mean - x);
    if (step.deviation.defined()) distance = distance / Variable(step.deviation);
    // Example i's terms depend on x_i alone, so the gradient of the sum holds each one's.
    backward(options.fluency * sum(distance) - sum(control(x, level)));
    adagrad->step(options.step_size);
  }
  return x.value();
}

Tensor controlled_ancestral_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                   ReverseVariance variance, const LogProbability& control,
                                   const ControlOptions& options, Tensor x, const NoiseSource& noise,
                                   const LevelObserver& observer) {
  Steering steering;
  if (control) {
    steering.sample = [&](const Tensor& sampled, const ReverseStep& step, const NoiseLevel& to) {
      return control_update(sampled, step, to, control, options);
    };
  }
  return ancestral_sample(denoise, levels, variance, std::move(x), noise, observer, steering);
}

}  // namespace haze

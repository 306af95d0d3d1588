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
  check_levels(levels);
  const NoGradient scope;
  if (observer) observer(0, x);
  for (size_t i = 0; i + 1 < levels.size(); ++i) {
    const NoiseLevel &from = levels[i], &to = levels[i + 1];
    const ReverseStep step = reverse_step(denoise(x, from), x, from, to, variance);
    x = step.mean;
    if (step.deviation.defined()) {
      x = add(x, multiply(step.deviation, noise(x.shape(), x.dtype())));
      if (control) x = control_update(x, step, to, control, options);
    }
    if (observer) observer(i + 1, x);
  }
  return x;
}

}  // namespace haze

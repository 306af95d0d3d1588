#include "haze/tools/run/optimizer_settings.h"

#include <algorithm>

namespace haze {

LearningRateOptions learning_rate_options(const Settings& settings) {
  LearningRateOptions options;
  const std::string& curve = settings.text("optimizer.schedule");
  options.curve = curve == "cosine"   ? LearningRateCurve::cosine
                  : curve == "linear" ? LearningRateCurve::linear
                                      : LearningRateCurve::constant;
  options.peak = settings.real("optimizer.learning_rate");
  options.total_steps = settings.integer("train.steps");
  options.warmup_steps = std::min(settings.integer("optimizer.warmup_steps"), options.total_steps);
  options.final_fraction = settings.real("optimizer.final_fraction");
  return options;
}

std::unique_ptr<Optimizer> optimizer_of(const Settings& settings, const std::vector<ParameterGroup>& groups) {
  const std::string& kind = settings.text("optimizer.kind");
  const double decay = settings.real("optimizer.weight_decay"), epsilon = settings.real("optimizer.epsilon");
  if (kind == "adagrad")
    return std::make_unique<Adagrad>(groups,
                                     AdagradHyperparameters{.epsilon = epsilon, .weight_decay = decay});
  if (kind == "sgd") {
    const SgdHyperparameters sgd{.momentum = settings.real("optimizer.momentum"), .weight_decay = decay};
    return std::make_unique<Sgd>(groups, sgd);
  }
  const AdamWHyperparameters adamw{.beta1 = settings.real("optimizer.beta1"),
                                   .beta2 = settings.real("optimizer.beta2"),
                                   .epsilon = epsilon,
                                   .weight_decay = decay};
  return std::make_unique<AdamW>(groups, adamw);
}

}  // namespace haze

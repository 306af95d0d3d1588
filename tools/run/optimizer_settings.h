#pragma once

#include <memory>
#include <vector>

#include "haze/nn/optimizer.h"
#include "haze/nn/schedule.h"
#include "haze/nn/settings.h"

namespace haze {

/// The learning rate of each step, as section [optimizer] and train.steps say.
LearningRateOptions learning_rate_options(const Settings& settings);

/// The optimizer of optimizer.kind for these groups.
std::unique_ptr<Optimizer> optimizer_of(const Settings& settings, const std::vector<ParameterGroup>& groups);

}  // namespace haze

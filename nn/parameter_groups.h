#pragma once

#include <string_view>
#include <vector>

#include "haze/nn/optimizer.h"

namespace haze {

/// Sorts parameters into groups by a text that a configuration can hold, such as
///
///     transformer.token_embedding: rate 0.1, decay 0; head: frozen
///
/// Rules are separated by semicolons. A rule is a prefix, a colon and settings with commas between them:
/// "rate NUMBER" (factor of the learning rate), "decay NUMBER" (weight decay), or "frozen" alone. A prefix is
/// whole parts of a name: "blocks.1" takes blocks.1.norm.weight, but not blocks.10.norm.weight. A parameter
/// belongs to the first rule that matches. The groups have the order of the rules, and the parameters without
/// a rule are the last group. An empty text gives one group of all parameters. Throws Error on a rule that is
/// not of this form and on a number that is negative or not finite. It also does on a prefix that occurs
/// twice or takes no parameter, and where nothing is left to train.
std::vector<ParameterGroup> parameter_groups(const std::vector<NamedParameter>& parameters,
                                             std::string_view text);

}  // namespace haze

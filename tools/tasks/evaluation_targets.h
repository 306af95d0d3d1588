#pragma once

#include "haze/nn/settings.h"
#include "haze/tools/tasks/control_target.h"

namespace haze {

/// Properties that one text is to have together.
using WantedProperties = std::vector<ControlTarget>;

/// The kinds of a word of control.kinds: "pos" alone, or "semantic+length" together. Throws Error for a name
/// that is none, for a kind that stands twice, and for more than two.
std::vector<ControlKind> control_kinds_called(const std::string& word);

/// The targets of an evaluation: control.targets times the properties of these kinds that one text has. The
/// texts are those of control.target_file, or of the built-in corpus's test part, and as long as
/// data.max_length allows. They are the same for all models with the same data.max_length. Throws Error where
/// there are too few.
std::vector<WantedProperties> evaluation_targets(const std::vector<ControlKind>& kinds,
                                                 const Settings& settings);

}  // namespace haze

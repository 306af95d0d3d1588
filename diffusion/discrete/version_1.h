#pragma once

#include "haze/nn/settings.h"

namespace haze {

/// The settings of a run that version 1 of the settings saved, under the names of version 2. `model` says
/// mdlm or d3pm; [model] has become [transformer], and [diffusion] the section of the model. A setting that
/// version 1 did not have gets the value with which version 1 behaved. Settings of other sections stay as
/// they are. Throws Error where a key of [model], [diffusion] or [sample] is missing or holds no value of
/// version 1.
NamedValues settings_from_version_1(NamedValues values);

}  // namespace haze

#pragma once

#include "haze/diffusion/model.h"

namespace haze {

/// The model "diffusion_lm" of texts.
ModelInfo diffusion_lm_model();

}  // namespace haze

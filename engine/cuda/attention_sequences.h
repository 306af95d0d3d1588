#pragma once

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/attention.h"

namespace haze::HAZE_KERNELS {

/// The `AttentionSequence`s of a call, at least one, in the memory of its device. The device finds them, as
/// it has offsets and lengths in its memory, and refuses those that do not fit the rows.
Storage sequences_on_device(const char* operation, const call::Attention& call);

}  // namespace haze::HAZE_KERNELS

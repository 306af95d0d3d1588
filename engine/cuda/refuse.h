#pragma once

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/refusal.h"

namespace haze::HAZE_KERNELS {

/// With it a kernel refuses a value: the argument of a kernel.
class Refuse {
 public:
  /// Both are literals; `sentence` as Refusal says.
  Refuse(const char* operation, const char* sentence)
      : slot_(refusal_slot()), operation_(operation), sentence_(sentence) {}

  struct Value {
    int64_t value = 0, position = 0, limit = 0;
    double number = 0;
  };
  /// Of all values of all threads, the first to get here is noted.
  __device__ void operator()(const Value& what) const {
    if (atomicCAS(&slot_->taken, 0, 1) != 0) return;
    slot_->operation = operation_;
    slot_->sentence = sentence_;
    slot_->value = what.value;
    slot_->position = what.position;
    slot_->limit = what.limit;
    slot_->number = what.number;
  }

 private:
  Refusal* slot_;
  const char *operation_, *sentence_;
};

/// Of indices of an axis, in the words of the cpu's kernels.
inline Refuse refuse_index(const char* operation) {
  return {operation, "{operation}: index {value} is outside an axis of extent {limit}"};
}

/// Whether `index` is one of an axis of that extent; otherwise it is refused.
__device__ inline bool is_inside(int32_t index, int64_t extent, const Refuse& refuse) {
  if (index >= 0 && index < extent) return true;
  refuse({.value = index, .limit = extent});
  return false;
}

}  // namespace haze::HAZE_KERNELS

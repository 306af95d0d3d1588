#pragma once

#include <cstdint>

#include "haze/engine/cpu/strided.h"
#include "haze/engine/dtype.h"

/// Vector conversions between bfloat16 and float32, for elements that lie side by side.
namespace haze {

struct WidenSpans {
  void (*widen)(const bfloat16* x, float* out, int64_t count);   // exact
  void (*narrow)(const float* x, bfloat16* out, int64_t count);  // as bfloat16(float) rounds
};

/// The best version for this processor.
const WidenSpans& widen_spans();

/// As packed() of an operand in its own dtype: bfloat16 is always copied, and widened.
inline const float* packed(const bfloat16* first, int64_t stride, int64_t count, float* buffer) {
  if (stride == 1) {
    widen_spans().widen(first, buffer, count);
  } else {
    for (int64_t i = 0; i < count; ++i) buffer[i] = static_cast<float>(first[i * stride]);
  }
  return buffer;
}

}  // namespace haze

#include "haze/engine/ops/all_finite.h"

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/row_blocks.h"
#include "haze/engine/cpu/simd/row_spans.h"

namespace haze {

void call::AllFinite::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  *out.data<uint8_t>() = dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* values = x.data<T>();
    if (x.elements() == 0) return true;
    // All are finite where both extrema are.
    const double highest = over_blocks(
        x.elements(), 0,
        [&](int64_t i, int64_t n) { return static_cast<double>(row_spans<T>().max(values + i, n)); }, larger);
    const double lowest = over_blocks(
        x.elements(), 0,
        [&](int64_t i, int64_t n) { return static_cast<double>(row_spans<T>().min(values + i, n)); },
        smaller);
    return std::isfinite(highest) && std::isfinite(lowest);
  });
}

}  // namespace haze

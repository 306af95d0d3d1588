#include "haze/engine/ops/argmax.h"

#include <cmath>

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/strided.h"

namespace haze {
namespace {

template <typename T>
bool comes_before(T candidate, T best) {
  return std::isnan(candidate) ? !std::isnan(best) : candidate > best;
}

}  // namespace

void call::Argmax::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const int64_t count = x.size(1), inner = x.size(2);
    const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(count, 1));
    parallel_for(x.size(0) * inner, grain, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const T* source = x.data<T>() + i / inner * count * inner + i % inner;
        int64_t best = 0;
        for (int64_t c = 1; c < count; ++c) {
          if (comes_before(source[c * inner], source[best * inner])) best = c;
        }
        out.data<int32_t>()[i] = static_cast<int32_t>(best);
      }
    });
  });
}

}  // namespace haze

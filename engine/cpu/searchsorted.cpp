#include "haze/engine/ops/searchsorted.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"

namespace haze {
namespace {

// NaN is larger than every number.
template <typename T>
bool below(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) return a < b || (std::isnan(b) && !std::isnan(a));
  return a < b;
}

}  // namespace

void call::SearchSorted::run(Cpu) const {
  if (sorted.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  constexpr int64_t kCost = 16;  // of a search, against one of element-by-element work
  const int64_t n = sorted.size(1), m = values.size(1);
  int32_t* result = out.data<int32_t>();
  const auto search = [&](auto tag) {
    using T = decltype(tag);
    const T* rows = sorted.data<T>();
    const T* wanted = values.data<T>();
    parallel_for(values.elements(), kElementGrain / kCost, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const T* row = rows + i / m * n;
        const T* at = right ? std::upper_bound(row, row + n, wanted[i], below<T>)
                            : std::lower_bound(row, row + n, wanted[i], below<T>);
        result[i] = static_cast<int32_t>(at - row);
      }
    });
  };
  if (sorted.dtype() == Dtype::int32) return search(int32_t{});
  dispatch_real(sorted.dtype(), search);
}

}  // namespace haze

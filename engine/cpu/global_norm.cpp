#include "haze/engine/ops/global_norm.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/row_blocks.h"
#include "haze/engine/cpu/simd/row_spans.h"

namespace haze {
namespace {

template <typename T>
double sum_of_squares(const Tensor& x) {
  const T* values = x.data<T>();
  return over_blocks(
      x.elements(), 0, [&](int64_t i, int64_t n) { return row_spans<T>().sum_square(values + i, n, T{0}); },
      plus);
}

}  // namespace

void call::GlobalNorm::run(Cpu) const {
  double total = 0;
  for (const Tensor& tensor : tensors) {
    const Tensor x = widened(tensor);
    total += dispatch_real(x.dtype(), [&](auto tag) { return sum_of_squares<decltype(tag)>(x); });
  }
  *out.data<double>() = std::sqrt(total);
}

void call::ClipScale::run(Cpu) const {
  const double total = gradient_scale * dispatch_real(norm.dtype(), [&](auto tag) {
                         return static_cast<double>(*norm.data<decltype(tag)>());
                       });
  if (!std::isfinite(total)) {
    *out.data<double>() = total;  // for who reads the scale before the error is reported
    fail("device_clip_scale: the norm of the gradients is {}", total);
  }
  const double factor = max_norm == 0 ? 1 : std::min(1.0, max_norm / (total + 1e-6));
  *out.data<double>() = gradient_scale * factor;
}

}  // namespace haze

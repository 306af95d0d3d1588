#include "haze/engine/checks.h"

namespace haze {

Tensor pad(const Tensor& x, int axis, int64_t before, int64_t after, double value) {
  constexpr int64_t kMost = int64_t{1} << 60;
  const int a = checked_axis("pad", x, axis);
  if (before < 0 || after < 0 || before > kMost || after > kMost) {
    fail("pad: {} and {} elements more, it takes 0 to 2^60 of each", before, after);
  }
  Shape shape = x.shape();
  shape[a] += before + after;
  Tensor result = full(shape, value, x.dtype(), x.device());
  copy_into(slice(result, a, before, before + x.size(a)), x);
  return result;
}

}  // namespace haze

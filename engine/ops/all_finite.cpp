#include "haze/engine/ops/all_finite.h"

#include "haze/engine/checks.h"

namespace haze {
bool all_finite(const Tensor& x) {
  check_floating("all_finite", "x", x);
  const Tensor result({}, Dtype::uint8, x.device());
  launch(call::AllFinite{contiguous(x), result});
  return result.item() != 0;
}

}  // namespace haze

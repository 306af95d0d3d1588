#include "haze/engine/ops/dropout.h"

#include "haze/engine/checks.h"

namespace haze {
Tensor dropout(const Tensor& x, double probability, RandomPosition position) {
  check_floating("dropout", "x", x);
  if (!(probability >= 0 && probability < 1)) {
    fail("dropout: the probability is {}, it takes 0 <= probability < 1", probability);
  }
  Tensor result(x.shape(), x.dtype(), x.device());
  launch(call::Dropout{x, probability, position, result});
  return result;
}

}  // namespace haze

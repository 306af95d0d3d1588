#include "haze/engine/ops/sinusoidal_embedding.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {

Tensor sinusoidal_embedding(const Tensor& x, int64_t width, double max_period) {
  check_real("sinusoidal_embedding", "x", x);
  check_rank("sinusoidal_embedding", "x", x, 1);
  if (width < 0) fail("sinusoidal_embedding: the width of {} is negative", width);
  if (!(max_period >= 1)) fail("sinusoidal_embedding: max_period {} is below 1", max_period);
  Tensor result({x.size(0), width}, x.dtype(), x.device());
  launch(call::SinusoidalEmbedding{contiguous(x), max_period, result});
  return result;
}

}  // namespace haze

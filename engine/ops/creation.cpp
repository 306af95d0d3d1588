#include "haze/engine/ops/creation.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {
Tensor full(const Shape& shape, double value, Dtype dtype, Device device) {
  Tensor result(shape, dtype, device);
  fill(result, value);
  return result;
}

Tensor zeros(const Shape& shape, Dtype dtype, Device device) {
  return full(shape, 0, dtype, device);
}
Tensor ones(const Shape& shape, Dtype dtype, Device device) {
  return full(shape, 1, dtype, device);
}

Tensor full_like(const Tensor& x, double value) {
  check_defined("full_like", "x", x);
  return full(x.shape(), value, x.dtype(), x.device());
}
Tensor zeros_like(const Tensor& x) {
  check_defined("zeros_like", "x", x);
  return full_like(x, 0);
}
Tensor ones_like(const Tensor& x) {
  check_defined("ones_like", "x", x);
  return full_like(x, 1);
}

Tensor arange(int64_t count, Dtype dtype, Device device) {
  if (count < 0) fail("arange: count {} is negative", count);
  const int64_t most = dtype == Dtype::uint8 ? 256 : dtype == Dtype::int32 ? int64_t{1} << 31 : INT64_MAX;
  if (count > most) fail("arange: {} numbers do not fit in {}", count, name(dtype));
  Tensor result({count}, dtype, device);
  launch(call::Arange{result});
  return result;
}

void fill(const Tensor& target, double value) {
  check_defined("fill", "target", target);
  check_writable("fill", target);
  launch(call::Fill{target, value});
}

}  // namespace haze

#include "haze/engine/ops/copy.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {
std::string call::Copy::title() const {
  if (x.dtype() != out.dtype()) return "cast";
  return x.is_contiguous() && out.is_contiguous() ? "copy" : "copy, strided";
}

Tensor contiguous(const Tensor& x) {
  check_defined("contiguous", "x", x);
  return x.is_contiguous() ? x : clone(x);
}

Tensor clone(const Tensor& x) {
  check_defined("clone", "x", x);
  return cast(x, x.dtype());
}

Tensor cast(const Tensor& x, Dtype dtype) {
  check_defined("cast", "x", x);
  Tensor result(x.shape(), dtype, x.device());
  launch(call::Copy{x, result});
  return result;
}

Tensor to(const Tensor& x, Device device) {
  check_defined("to", "x", x);
  if (x.device() == device) return x;
  const Tensor dense = contiguous(x);
  const size_t bytes = static_cast<size_t>(dense.elements()) * size_of(dense.dtype());
  Tensor result(x.shape(), x.dtype(), device);
  if (device == Device::cpu) {
    runtime(x.device()).copy_to_host(result.address(), dense.address(), bytes);
  } else if (x.device() == Device::cpu) {
    runtime(device).copy_from_host(result.address(), dense.address(), bytes);
  } else {
    return to(to(dense, Device::cpu), device);
  }
  return result;
}

void copy_into(const Tensor& target, const Tensor& source) {
  check_defined("copy_into", "target", target);
  check_defined("copy_into", "source", source);
  check_writable("copy_into", target);
  check_broadcasts_to("copy_into", source, target);
  launch(call::Copy{expand(disjoint(source, target), target.shape()), target});
}

Tensor concat(std::span<const Tensor> parts, int axis) {
  if (parts.empty()) fail("concat: no tensors");
  const int a = checked_axis("concat", parts[0], axis);
  Shape shape = parts[0].shape();
  shape[a] = 0;
  for (const Tensor& part : parts) {
    check_same_dtype("concat", parts[0], part);
    check_rank("concat", "a part", part, parts[0].rank());
    for (int i = 0; i < part.rank(); ++i) {
      if (i != a && part.size(i) != shape[i]) {
        fail("concat: shapes {} and {} differ outside axis {}", parts[0].shape().to_string(),
             part.shape().to_string(), axis);
      }
    }
    shape[a] += part.size(a);
  }
  Tensor result(shape, parts[0].dtype(), parts[0].device());
  int64_t first = 0;
  for (const Tensor& part : parts) {
    copy_into(slice(result, a, first, first + part.size(a)), part);
    first += part.size(a);
  }
  return result;
}

}  // namespace haze

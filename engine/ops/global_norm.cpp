#include "haze/engine/ops/global_norm.h"

#include <cmath>

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

Tensor norm_of(const char* operation, std::span<const Tensor> tensors) {
  call::GlobalNorm call{{}, Tensor({}, Dtype::float64, tensors.empty() ? Device::cpu : tensors[0].device())};
  call.tensors.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    check_floating(operation, "a tensor", tensor);
    call.tensors.push_back(contiguous(tensor));
  }
  launch(call);
  return call.out;
}

}  // namespace

Tensor device_global_norm(std::span<const Tensor> tensors) {
  return norm_of("device_global_norm", tensors);
}

Tensor device_clip_scale(const Tensor& norm, double max_norm, double gradient_scale) {
  check_real("device_clip_scale", "norm", norm);
  check_shape("device_clip_scale", "norm", norm, {});
  if (!(max_norm >= 0 && std::isfinite(max_norm))) {
    fail("device_clip_scale: max_norm is {}, it takes a finite number of 0 or more", max_norm);
  }
  if (!(gradient_scale >= 0 && std::isfinite(gradient_scale))) {
    fail("device_clip_scale: gradient_scale is {}, it takes a finite number of 0 or more", gradient_scale);
  }
  Tensor result({}, Dtype::float64, norm.device());
  launch(call::ClipScale{norm, max_norm, gradient_scale, result});
  return result;
}

double global_norm(std::span<const Tensor> tensors) {
  return norm_of("global_norm", tensors).item();
}

}  // namespace haze

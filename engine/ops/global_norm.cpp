#include "haze/engine/ops/global_norm.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

Tensor norm_of(const char* operation, std::span<const Tensor> tensors) {
  call::GlobalNorm call{{}, Tensor({}, Dtype::float64, tensors.empty() ? Device::cpu : tensors[0].device())};
  call.tensors.reserve(tensors.size());
  for (const Tensor& tensor : tensors) {
    check_real(operation, "a tensor", tensor);
    call.tensors.push_back(contiguous(tensor));
  }
  launch(call);
  return call.out;
}

}  // namespace

Tensor device_global_norm(std::span<const Tensor> tensors) {
  return norm_of("device_global_norm", tensors);
}

double global_norm(std::span<const Tensor> tensors) {
  return norm_of("global_norm", tensors).item();
}

}  // namespace haze

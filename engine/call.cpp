#include "haze/engine/call.h"

#include "haze/engine/graph_capture.h"

namespace haze::detail {

double stored_bytes(const Tensor& x) {
  auto bytes = static_cast<double>(size_of(x.dtype()));
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (x.stride(axis) != 0 || x.size(axis) == 0) bytes *= static_cast<double>(x.size(axis));
  }
  return bytes;
}

void OperandDevice::fail_differing(const char* operand, Device device) const {
  fail("{}: {} is on {} and {} on {}; bring them to one device with to()", operation_, operand_,
       name(device_), operand, name(device));
}

bool is_captured() {
  return GraphCapture::current() != nullptr;
}

void note_captured(const Tensor& x, const char* written_by) {
  GraphCapture::current()->note(x.storage(), written_by);
}

Tensor on_cpu(const Tensor& x) {
  return Tensor(x.storage(), x.shape(), x.strides(), x.offset(), x.dtype(), Device::cpu);
}

}  // namespace haze::detail

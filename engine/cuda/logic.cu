#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/logic.h"

// A thread has an element of the result.
namespace haze::HAZE_KERNELS {
namespace {

__global__ void logic(call::LogicOp op, const uint8_t* x, const uint8_t* y, uint8_t* out,
                      StridedIndex<2> index, int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const bool a = x[index.offset(0, i)] != 0, b = y[index.offset(1, i)] != 0;
  switch (op) {
    case call::LogicOp::logical_and:
      out[i] = a && b;
      break;
    case call::LogicOp::logical_or:
      out[i] = a || b;
      break;
    case call::LogicOp::logical_xor:
      out[i] = a != b;
      break;
  }
}

}  // namespace

template <>
void run_kernels(const call::Logic& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  launch_kernel(call.name(), logic, threads_for(count), call.op, elements_of<const uint8_t>(call.x),
                elements_of<const uint8_t>(call.y), elements_of<uint8_t>(call.out),
                StridedIndex<2>(call.out.shape(), {&call.x, &call.y}), count);
}

}  // namespace haze::HAZE_KERNELS

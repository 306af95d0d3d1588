#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/logic.h"

// A thread has 16 elements of the result, or one: see elementwise.cu.
namespace haze::HAZE_KERNELS {
namespace {

__device__ bool holds(call::LogicOp op, bool a, bool b) {
  return op == call::LogicOp::logical_and ? a && b : op == call::LogicOp::logical_or ? a || b : a != b;
}

template <int kWidth>
__global__ void logic(call::LogicOp op, const uint8_t* x, const uint8_t* y, uint8_t* out,
                      StridedIndex<2> index, int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  Vector<uint8_t, kWidth> v = read<kWidth>(x, index, 0, first, left);
  const Vector<uint8_t, kWidth> w = read<kWidth>(y, index, 1, first, left);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) v.of[k] = holds(op, v.of[k] != 0, w.of[k] != 0);
  store_up_to(out + first, v, left);
}

}  // namespace

template <>
void run_kernels(const call::Logic& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.x, &call.y};
  const StridedIndex<2> index(call.out.shape(), operands);
  with_width_for<uint8_t>(index, operands, call.out, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    launch_kernel(call.name(), logic<kWidth>, threads_for_vectors<kWidth>(count), call.op,
                  elements_of<const uint8_t>(call.x), elements_of<const uint8_t>(call.y),
                  elements_of<uint8_t>(call.out), index, count);
  });
}

}  // namespace haze::HAZE_KERNELS

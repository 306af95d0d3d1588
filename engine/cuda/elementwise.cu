#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/math.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/elementwise.h"

namespace haze::HAZE_KERNELS {
namespace {

template <typename T>
__global__ void unary(UnaryOp op, const T* x, Wide<T> a, Wide<T> b, T* out, StridedIndex<1> index,
                      int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = T(apply(op, Wide<T>(x[index.offset(0, i)]), a, b));
}

template <typename T>
__global__ void binary(BinaryOp op, const T* x, const T* y, T* out, StridedIndex<2> index, int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = T(apply(op, Wide<T>(x[index.offset(0, i)]), Wide<T>(y[index.offset(1, i)])));
}

template <typename T>
__device__ bool holds(CompareOp op, T x, T y) {
  switch (op) {
    case CompareOp::equal:
      return x == y;
    case CompareOp::not_equal:
      return x != y;
    case CompareOp::less:
      return x < y;
    case CompareOp::less_equal:
      return x <= y;
    case CompareOp::greater:
      return x > y;
    default:
      return x >= y;
  }
}

template <typename T>
__global__ void compare(CompareOp op, const T* x, const T* y, uint8_t* out, StridedIndex<2> index,
                        int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = holds(op, Wide<T>(x[index.offset(0, i)]), Wide<T>(y[index.offset(1, i)]));
}

template <typename T>
__global__ void where(const uint8_t* condition, const T* x, const T* y, T* out, StridedIndex<3> index,
                      int64_t count) {
  const int64_t i = thread_number();
  if (i < count) out[i] = condition[index.offset(0, i)] ? x[index.offset(1, i)] : y[index.offset(2, i)];
}

}  // namespace

template <>
void run_kernels(const call::Unary& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const StridedIndex<1> index(call.out.shape(), {&call.x});
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), unary<T>, threads_for(count), call.op, elements_of<const T>(call.x),
                    Wide<T>(call.a), Wide<T>(call.b), elements_of<T>(call.out), index, count);
    }
  });
}

template <>
void run_kernels(const call::Binary& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const StridedIndex<2> index(call.out.shape(), {&call.x, &call.y});
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      launch_kernel(call.name(), binary<T>, threads_for(count), call.op, elements_of<const T>(call.x),
                    elements_of<const T>(call.y), elements_of<T>(call.out), index, count);
    }
  });
}

template <>
void run_kernels(const call::Compare& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const StridedIndex<2> index(call.out.shape(), {&call.x, &call.y});
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), compare<T>, threads_for(count), call.op, elements_of<const T>(call.x),
                  elements_of<const T>(call.y), elements_of<uint8_t>(call.out), index, count);
  });
}

template <>
void run_kernels(const call::Where& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const StridedIndex<3> index(call.out.shape(), {&call.condition, &call.x, &call.y});
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), where<T>, threads_for(count), elements_of<const uint8_t>(call.condition),
                  elements_of<const T>(call.x), elements_of<const T>(call.y), elements_of<T>(call.out), index,
                  count);
  });
}

}  // namespace haze::HAZE_KERNELS

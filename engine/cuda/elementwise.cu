#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/math.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/elementwise.h"

// A thread has 16 bytes of neighbouring elements where operands are contiguous, or broadcast so that they
// repeat one element or whole rows. Otherwise it has one element.
namespace haze::HAZE_KERNELS {
namespace {

template <int kWidth, typename T>
__global__ void unary(UnaryOp op, const T* x, Wide<T> a, Wide<T> b, T* out, StridedIndex<1> index,
                      int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  Vector<T, kWidth> v = read<kWidth>(x, index, 0, first, left);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) v.of[k] = T(apply(op, Wide<T>(v.of[k]), a, b));
  store_up_to(out + first, v, left);
}

template <int kWidth, typename T>
__global__ void binary(BinaryOp op, const T* x, const T* y, T* out, StridedIndex<2> index, int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  Vector<T, kWidth> v = read<kWidth>(x, index, 0, first, left);
  const Vector<T, kWidth> w = read<kWidth>(y, index, 1, first, left);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) v.of[k] = T(apply(op, Wide<T>(v.of[k]), Wide<T>(w.of[k])));
  store_up_to(out + first, v, left);
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

template <int kWidth, typename T>
__global__ void compare(CompareOp op, const T* x, const T* y, uint8_t* out, StridedIndex<2> index,
                        int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  const Vector<T, kWidth> v = read<kWidth>(x, index, 0, first, left),
                          w = read<kWidth>(y, index, 1, first, left);
  Vector<uint8_t, kWidth> result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) result.of[k] = holds(op, Wide<T>(v.of[k]), Wide<T>(w.of[k]));
  store_up_to(out + first, result, left);
}

template <int kWidth, typename T>
__global__ void where(const uint8_t* condition, const T* x, const T* y, T* out, StridedIndex<3> index,
                      int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  const Vector<uint8_t, kWidth> chosen = read<kWidth>(condition, index, 0, first, left);
  Vector<T, kWidth> v = read<kWidth>(x, index, 1, first, left);
  const Vector<T, kWidth> w = read<kWidth>(y, index, 2, first, left);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) v.of[k] = chosen.of[k] ? v.of[k] : w.of[k];
  store_up_to(out + first, v, left);
}

}  // namespace

template <>
void run_kernels(const call::Unary& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.x};
  const StridedIndex<1> index(call.out.shape(), operands);
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width_for<T>(index, operands, call.out, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(call.name(), unary<kWidth, T>, threads_for_vectors<kWidth>(count), call.op,
                    elements_of<const T>(call.x), Wide<T>(call.a), Wide<T>(call.b), elements_of<T>(call.out),
                    index, count);
    });
  });
}

template <>
void run_kernels(const call::Binary& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.x, &call.y};
  const StridedIndex<2> index(call.out.shape(), operands);
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      with_width_for<T>(index, operands, call.out, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        launch_kernel(call.name(), binary<kWidth, T>, threads_for_vectors<kWidth>(count), call.op,
                      elements_of<const T>(call.x), elements_of<const T>(call.y), elements_of<T>(call.out),
                      index, count);
      });
    }
  });
}

template <>
void run_kernels(const call::Compare& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.x, &call.y};
  const StridedIndex<2> index(call.out.shape(), operands);
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width_for<T>(index, operands, call.out, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(call.name(), compare<kWidth, T>, threads_for_vectors<kWidth>(count), call.op,
                    elements_of<const T>(call.x), elements_of<const T>(call.y),
                    elements_of<uint8_t>(call.out), index, count);
    });
  });
}

template <>
void run_kernels(const call::Where& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.condition, &call.x, &call.y};
  const StridedIndex<3> index(call.out.shape(), operands);
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width_for<T>(index, operands, call.out, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(call.name(), where<kWidth, T>, threads_for_vectors<kWidth>(count),
                    elements_of<const uint8_t>(call.condition), elements_of<const T>(call.x),
                    elements_of<const T>(call.y), elements_of<T>(call.out), index, count);
    });
  });
}

}  // namespace haze::HAZE_KERNELS

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/ops/rotary.h"

// A thread has a pair of elements of a head, i and half + i, which are the parts of a complex number.
// Neighbouring threads have neighbouring pairs.
namespace haze::HAZE_KERNELS {
namespace {

/// [rows, heads, 2 half], with unit stride on the last axis.
template <typename T>
struct Heads {
  const T* elements;
  int64_t row_stride, head_stride, heads, half;
};

// (a + i b) e^(i angle); the inverse turns by -angle. Heads from `turned` on are copied.
template <typename T>
__global__ void rotary(Heads<T> x, const T* cosine, const T* sine, const int32_t* positions, Refuse refuse,
                       int64_t position_count, int64_t turned, bool inverse, T* out, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t i = number % x.half, head = number / x.half % x.heads, row = number / x.half / x.heads;
  const int32_t position = positions[row];
  if (position < 0 || position >= position_count) {
    refuse({.value = position, .limit = position_count});
    return;
  }
  const T* const from = x.elements + row * x.row_stride + head * x.head_stride;
  T* const to = out + (row * x.heads + head) * 2 * x.half;
  const T a = from[i], b = from[x.half + i];
  if (head >= turned) {
    to[i] = a;
    to[x.half + i] = b;
    return;
  }
  const T c = cosine[position * x.half + i];
  const T s = inverse ? -sine[position * x.half + i] : sine[position * x.half + i];
  to[i] = a * c - b * s;
  to[x.half + i] = b * c + a * s;
}

}  // namespace

template <>
void run_kernels(const call::Rotary& call) {
  const Tensor& x = call.x;
  const int64_t count = x.elements() / 2;
  if (count == 0) return;
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const Heads<T> heads{elements_of<const T>(x), x.stride(0), x.stride(1), x.size(1), x.size(2) / 2};
    launch_kernel(call.name(), rotary<T>, threads_for(count), heads, elements_of<const T>(call.cosine),
                  elements_of<const T>(call.sine), elements_of<const int32_t>(call.positions),
                  refuse_index(call.name()), call.cosine.size(0), call.turned, call.inverse,
                  elements_of<T>(call.out), count);
  });
}

}  // namespace haze::HAZE_KERNELS

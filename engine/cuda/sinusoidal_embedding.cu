#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/sinusoidal_embedding.h"

// A thread has an element of the result and computes its frequency and angle in float64, as the cpu does: an
// angle of thousands has few digits of float32 left behind the point.
namespace haze::HAZE_KERNELS {
namespace {

// A row: cosines, sines, and a 0 where its width is odd.
template <typename T>
__global__ void sinusoidal_embedding(const T* x, double max_period, T* out, int64_t width, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t i = number % width, half = width / 2;
  if (i == 2 * half) {
    out[number] = T(0);
    return;
  }
  const double frequency = std::pow(max_period, -static_cast<double>(i % half) / static_cast<double>(half));
  const double angle = static_cast<double>(x[number / width]) * frequency;
  out[number] = static_cast<T>(i < half ? std::cos(angle) : std::sin(angle));
}

}  // namespace

template <>
void run_kernels(const call::SinusoidalEmbedding& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), sinusoidal_embedding<T>, threads_for(count), elements_of<const T>(call.x),
                  call.max_period, elements_of<T>(call.out), call.out.size(1), count);
  });
}

}  // namespace haze::HAZE_KERNELS

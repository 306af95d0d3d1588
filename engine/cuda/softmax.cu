#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/softmax.h"
#include "haze/engine/ops/softmax.h"

// The kernel of the ladder's last rung, with a warp for a short row. The gradient goes the same way: what
// fits into registers is read once.
namespace haze::HAZE_KERNELS {
namespace {

// softmax: y (g - sum(g y)). log_softmax: g - e^y sum(g).
template <typename T, typename Plan>
__global__ void __launch_bounds__(kRowBlock, 1)
    gradient(const T* y, const T* g, bool log, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  constexpr unsigned kThreads = Plan::kThreads;
  constexpr int kWidth = Plan::kWidth, kKept = kHeld<T, kWidth>;
  const int64_t row = own_row<kThreads>(), count = columns / kWidth;
  if (row >= rows) return;  // a whole warp, or nobody
  const auto *const ys = vectors<kWidth>(y + row * columns), *const gs = vectors<kWidth>(g + row * columns);
  auto* const to = vectors<kWidth>(out + row * columns);
  const unsigned first = thread_of_row<kThreads>();

  Vector<T, kWidth> kept_y[kKept], kept_g[kKept];
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    if (first + k * kThreads >= count) continue;
    kept_y[k] = load_vector(ys + first + k * kThreads);
    kept_g[k] = load_vector(gs + first + k * kThreads);
  }
  W sum = 0;
  const auto add = [&](const Vector<T, kWidth>& yi, const Vector<T, kWidth>& gi) {
    for (int k = 0; k < kWidth; ++k) sum += log ? W(gi.of[k]) : W(gi.of[k]) * W(yi.of[k]);
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    if (first + k * kThreads < count) add(kept_y[k], kept_g[k]);
  }
  for (int64_t i = first + kKept * kThreads; i < count; i += kThreads) {
    add(load_vector(ys + i), load_vector(gs + i));
  }
  sum = over_row<kThreads>(sum, Plus());

  const auto result = [&](const Vector<T, kWidth>& yi, Vector<T, kWidth> gi) {
    for (int k = 0; k < kWidth; ++k) {
      const W yk = W(yi.of[k]), gk = W(gi.of[k]);
      gi.of[k] = T(log ? gk - std::exp(yk) * sum : yk * (gk - sum));
    }
    return gi;
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    if (first + k * kThreads < count) {
      store_vector(to + first + k * kThreads, result(kept_y[k], kept_g[k]));
    }
  }
  for (int64_t i = first + kKept * kThreads; i < count; i += kThreads) {
    store_vector(to + i, result(load_vector(ys + i), load_vector(gs + i)));
  }
}

}  // namespace

template <>
void run_kernels(const call::Softmax& call) {
  const int64_t rows = call.x.size(0), columns = call.x.size(1);
  if (call.x.elements() == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      with_row_plan<T>(columns, is_aligned(call.x) && is_aligned(call.out), [&](auto plan) {
        using Plan = decltype(plan);
        launch_kernel(call.name(), softmax_in_registers<T, Plan>, Plan::launch(rows),
                      elements_of<const T>(call.x), call.log, elements_of<T>(call.out), rows, columns);
      });
    }
  });
}

template <>
void run_kernels(const call::SoftmaxGradient& call) {
  const int64_t rows = call.y.size(0), columns = call.y.size(1);
  if (call.y.elements() == 0) return;
  const bool aligned = is_aligned(call.y) && is_aligned(call.g) && is_aligned(call.out);
  dispatch(call.y.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      with_row_plan<T>(columns, aligned, [&](auto plan) {
        using Plan = decltype(plan);
        launch_kernel(call.name(), gradient<T, Plan>, Plan::launch(rows), elements_of<const T>(call.y),
                      elements_of<const T>(call.g), call.log, elements_of<T>(call.out), rows, columns);
      });
    }
  });
}

}  // namespace haze::HAZE_KERNELS

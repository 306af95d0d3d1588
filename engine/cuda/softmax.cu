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
__global__ void __launch_bounds__(kRowBlock, kRowBlocksAtOnce)
    gradient(const T* y, const T* g, bool log, T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  using V = Vector<T, Plan::kWidth>;
  const int64_t row = own_row<Plan::kThreads>();
  if (row >= rows) return;  // a whole warp, or nobody
  const HeldRow<T, Plan> ys(y + row * columns, columns), gs(g + row * columns, columns);
  W sum = 0;
  const auto add = [&](int64_t, const V& yi, const V& gi) {
    for (int k = 0; k < Plan::kWidth; ++k) sum += log ? W(gi.of[k]) : W(gi.of[k]) * W(yi.of[k]);
  };
  ys.each(add, gs);
  sum = over_row<Plan::kThreads>(sum, Plus());
  auto* const to = vectors<Plan::kWidth>(out + row * columns);
  const auto write = [&](int64_t i, const V& yi, const V& gi) {
    V result;
    for (int k = 0; k < Plan::kWidth; ++k) {
      const W yk = W(yi.of[k]), gk = W(gi.of[k]);
      result.of[k] = T(log ? gk - std::exp(yk) * sum : yk * (gk - sum));
    }
    store_vector(to + i, result);
  };
  ys.each(write, gs);
}

}  // namespace

template <>
void run_kernels(const call::Softmax& call) {
  const int64_t rows = call.x.size(0), columns = call.x.size(1);
  if (call.x.elements() == 0) return;
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_row_plan<T>(columns, is_aligned(call.x) && is_aligned(call.out), [&](auto plan) {
      using Plan = decltype(plan);
      launch_kernel(call.name(), softmax_in_registers<T, Plan>, Plan::launch(rows),
                    elements_of<const T>(call.x), call.log, elements_of<T>(call.out), rows, columns);
    });
  });
}

template <>
void run_kernels(const call::SoftmaxGradient& call) {
  const int64_t rows = call.y.size(0), columns = call.y.size(1);
  if (call.y.elements() == 0) return;
  const bool aligned = is_aligned(call.y) && is_aligned(call.g) && is_aligned(call.out);
  dispatch_floating(call.y.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_row_plan<T>(columns, aligned, [&](auto plan) {
      using Plan = decltype(plan);
      launch_kernel(call.name(), gradient<T, Plan>, Plan::launch(rows), elements_of<const T>(call.y),
                    elements_of<const T>(call.g), call.log, elements_of<T>(call.out), rows, columns);
    });
  });
}

}  // namespace haze::HAZE_KERNELS

#pragma once

#include <cmath>

#include "haze/engine/cuda/rows.h"
#include "haze/engine/ops.h"

/// What layer norm, RMS norm, group norm and adaptive layer norm share: y = xhat scale + shift with xhat = (x
/// - mean) rstd over a row, and its gradient. A warp or a block has a row, and keeps it in registers. Sums
/// over a row are taken in float64, in an order that depends on its length and on where it begins.
///
/// An `Affine` says which scale and shift an element has:
/// - accepts(row): false where it has none; the row is left out then;
/// - scale<kWidth>(row, i) and shift<kWidth>(row, i), of the elements of vector i of the row.
namespace haze::HAZE_KERNELS {

/// Writes the mean and rstd of each row. RMS norm has no `means`: its mean is 0.
template <typename T, typename Plan, typename Affine>
__global__ void __launch_bounds__(kRowBlock, kRowBlocksAtOnce)
    normalize(const T* x, Affine affine, double epsilon, T* out, Wide<T>* means, Wide<T>* rstds, int64_t rows,
              int64_t columns) {
  using W = Wide<T>;
  using V = Vector<T, Plan::kWidth>;
  const int64_t row = own_row<Plan::kThreads>();
  if (row >= rows || !affine.accepts(row)) return;
  const HeldRow<T, Plan> from(x + row * columns, columns);
  const auto sum = [&](auto term) {
    double result = 0;
    from.each([&](int64_t, const V& v) {
      for (int k = 0; k < Plan::kWidth; ++k) result += term(W(v.of[k]));
    });
    return over_row<Plan::kThreads>(result, Plus());
  };
  const auto n = static_cast<double>(columns);
  W mean = 0;
  if (means) mean = static_cast<W>(sum([](W v) { return static_cast<double>(v); }) / n);
  const double squares = sum([&](W v) {
    const auto difference = static_cast<double>(v - mean);
    return difference * difference;
  });
  const auto rstd = static_cast<W>(1 / std::sqrt(squares / n + epsilon));
  if (thread_of_row<Plan::kThreads>() == 0) {
    if (means) means[row] = mean;
    rstds[row] = rstd;
  }
  auto* const to = vectors<Plan::kWidth>(out + row * columns);
  from.each([&](int64_t i, const V& v) {
    const auto scale = affine.template scale<Plan::kWidth>(row, i),
               shift = affine.template shift<Plan::kWidth>(row, i);
    V result;
    for (int k = 0; k < Plan::kWidth; ++k) {
      result.of[k] = T((W(v.of[k]) - mean) * rstd * scale.of[k] + shift.of[k]);
    }
    store_vector(to + i, result);
  });
}

/// The gradient of x. With gw = g scale: rstd (gw - mean(gw) - xhat mean(gw xhat)). RMS norm has no `means`
/// and leaves out mean(gw).
template <typename T, typename Plan, typename Affine>
__global__ void __launch_bounds__(kRowBlock, kRowBlocksAtOnce)
    normalize_gradient(const T* g, const T* x, Affine affine, const Wide<T>* means, const Wide<T>* rstds,
                       T* out, int64_t rows, int64_t columns) {
  using W = Wide<T>;
  using V = Vector<T, Plan::kWidth>;
  const int64_t row = own_row<Plan::kThreads>();
  if (row >= rows || !affine.accepts(row)) return;
  const HeldRow<T, Plan> gs(g + row * columns, columns), xs(x + row * columns, columns);
  const W mean = means ? means[row] : W(0), rstd = rstds[row];
  double sum = 0, dot = 0;
  const auto add = [&](int64_t i, const V& gi, const V& xi) {
    const auto scale = affine.template scale<Plan::kWidth>(row, i);
    for (int k = 0; k < Plan::kWidth; ++k) {
      const W weighted = W(gi.of[k]) * scale.of[k];
      sum += static_cast<double>(weighted);
      dot += static_cast<double>(weighted * ((W(xi.of[k]) - mean) * rstd));
    }
  };
  gs.each(add, xs);
  const auto n = static_cast<double>(columns);
  W mean_of_weighted = 0;
  if (means) mean_of_weighted = static_cast<W>(over_row<Plan::kThreads>(sum, Plus()) / n);
  const auto slope = static_cast<W>(over_row<Plan::kThreads>(dot, Plus()) / n);
  auto* const to = vectors<Plan::kWidth>(out + row * columns);
  const auto write = [&](int64_t i, const V& gi, const V& xi) {
    const auto scale = affine.template scale<Plan::kWidth>(row, i);
    V result;
    for (int k = 0; k < Plan::kWidth; ++k) {
      const W xhat = (W(xi.of[k]) - mean) * rstd;
      result.of[k] = T(rstd * (W(gi.of[k]) * scale.of[k] - mean_of_weighted - xhat * slope));
    }
    store_vector(to + i, result);
  };
  gs.each(write, xs);
}

/// Launches `normalize` over x, in rows of `columns` elements. `aligned` says whether the Affine takes
/// vectors of 16 bytes.
template <typename T, typename Affine>
void launch_normalize(const char* name, const Tensor& x, const Affine& affine, bool aligned, double epsilon,
                      const NormResult& out, int64_t columns) {
  const int64_t rows = out.rstd.elements();
  with_row_plan<T>(columns, aligned && is_aligned(x) && is_aligned(out.output), [&](auto plan) {
    using Plan = decltype(plan);
    launch_kernel(name, normalize<T, Plan, Affine>, Plan::launch(rows), elements_of<const T>(x), affine,
                  epsilon, elements_of<T>(out.output), elements_of<Wide<T>>(out.mean),
                  elements_of<Wide<T>>(out.rstd), rows, columns);
  });
}

/// The same for `normalize_gradient`.
template <typename T, typename Affine>
void launch_normalize_gradient(const char* name, const Tensor& g, const Tensor& x, const Affine& affine,
                               bool aligned, const NormResult& saved, const Tensor& out, int64_t columns) {
  const int64_t rows = saved.rstd.elements();
  const bool all_aligned = aligned && is_aligned(g) && is_aligned(x) && is_aligned(out);
  with_row_plan<T>(columns, all_aligned, [&](auto plan) {
    using Plan = decltype(plan);
    launch_kernel(name, normalize_gradient<T, Plan, Affine>, Plan::launch(rows), elements_of<const T>(g),
                  elements_of<const T>(x), affine, elements_of<const Wide<T>>(saved.mean),
                  elements_of<const Wide<T>>(saved.rstd), elements_of<T>(out), rows, columns);
  });
}

}  // namespace haze::HAZE_KERNELS

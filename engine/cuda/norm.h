#pragma once

#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/warp.h"

/// What layer norm, RMS norm, group norm and adaptive layer norm share: y = xhat scale + shift with xhat = (x
/// - mean) rstd over a row, and its gradient. A block has a row. Sums over a row are taken in float64, in an
/// order that depends on its length alone.
///
/// An `Affine` says which scale and shift an element has:
/// - accepts(row): false where it has none; the row is left out then;
/// - scale(row, i) and shift(row, i), of element i of the row.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kNormThreads = 256;

/// The sum of term(i) over the elements of the block's row; the same in every thread.
template <typename Term>
__device__ double sum_over_row(int64_t columns, double (&scratch)[kNormThreads / kWarp], const Term& term) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < columns; i += kNormThreads) sum += static_cast<double>(term(i));
  return over_block<kNormThreads>(sum, scratch, Plus());
}

/// Writes the mean and rstd of each row. RMS norm has no `means`: its mean is 0.
template <typename T, typename Affine>
__global__ void __launch_bounds__(kNormThreads) normalize(const T* x, Affine affine, double epsilon, T* out,
                                                          Wide<T>* means, Wide<T>* rstds, int64_t columns) {
  using W = Wide<T>;
  SHARED(double, scratch, [kNormThreads / kWarp]);
  const int64_t row = blockIdx.x;
  if (!affine.accepts(row)) return;
  const T* const from = x + row * columns;
  const auto n = static_cast<double>(columns);
  W mean = 0;
  if (means) mean = static_cast<W>(sum_over_row(columns, scratch, [&](int64_t i) { return W(from[i]); }) / n);
  const double squares = sum_over_row(columns, scratch, [&](int64_t i) {
    const auto difference = static_cast<double>(W(from[i]) - mean);
    return difference * difference;
  });
  const auto rstd = static_cast<W>(1 / std::sqrt(squares / n + epsilon));
  if (threadIdx.x == 0) {
    if (means) means[row] = mean;
    rstds[row] = rstd;
  }
  for (int64_t i = threadIdx.x; i < columns; i += kNormThreads) {
    const W xhat = (W(from[i]) - mean) * rstd;
    out[row * columns + i] = T(xhat * affine.scale(row, i) + affine.shift(row, i));
  }
}

/// The gradient of x. With gw = g scale: rstd (gw - mean(gw) - xhat mean(gw xhat)). RMS norm has no `means`
/// and leaves out mean(gw).
template <typename T, typename Affine>
__global__ void __launch_bounds__(kNormThreads)
    normalize_gradient(const T* g, const T* x, Affine affine, const Wide<T>* means, const Wide<T>* rstds,
                       T* out, int64_t columns) {
  using W = Wide<T>;
  SHARED(double, scratch, [kNormThreads / kWarp]);
  const int64_t row = blockIdx.x, first = row * columns;
  if (!affine.accepts(row)) return;
  const W mean = means ? means[row] : W(0), rstd = rstds[row];
  const auto xhat = [&](int64_t i) { return (W(x[first + i]) - mean) * rstd; };
  const auto weighted = [&](int64_t i) { return W(g[first + i]) * affine.scale(row, i); };
  const auto n = static_cast<double>(columns);
  W mean_of_weighted = 0;
  if (means) mean_of_weighted = static_cast<W>(sum_over_row(columns, scratch, weighted) / n);
  const double dot = sum_over_row(columns, scratch, [&](int64_t i) { return weighted(i) * xhat(i); });
  const auto slope = static_cast<W>(dot / n);
  for (int64_t i = threadIdx.x; i < columns; i += kNormThreads) {
    out[first + i] = T(rstd * (weighted(i) - mean_of_weighted - xhat(i) * slope));
  }
}

/// A block for each of `rows`.
inline simt::LaunchShape blocks_for_rows(int64_t rows) {
  return {{static_cast<unsigned>(rows)}, {kNormThreads}};
}

}  // namespace haze::HAZE_KERNELS

#include <cmath>
#include <vector>

#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/norm_spans.h"
#include "haze/engine/cpu/row_spans.h"
#include "haze/engine/cpu/strided.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

// Layer norm and RMS norm share their kernels: RMS norm is layer norm with a mean of 0 that is not
// differentiated.
HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Calls vectors(d, i) for whole vectors and then, for the rest, with a tag of one lane.
template <typename T, class F>
HWY_INLINE void ForEachVector(int64_t count, F f) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) f(d, i);
  const hn::CappedTag<T, 1> one;
  for (; i < count; ++i) f(one, i);
}

template <typename T>
void NormalizeRow(const T* x, const T* weight, const T* bias, T mean, T rstd, T* out, int64_t count) {
  ForEachVector<T>(count, [=](auto d, int64_t i) HWY_ATTR {
    auto y = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), hn::Set(d, rstd));
    if (weight) y = hn::Mul(y, hn::LoadU(d, weight + i));
    if (bias) y = hn::Add(y, hn::LoadU(d, bias + i));
    hn::StoreU(y, d, out + i);
  });
}

template <typename T>
void GradientRowSums(const T* g, const T* x, const T* weight, T mean, T rstd, T* weight_gradient,
                     T* bias_gradient, T* out, int64_t count, T* sums) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto sum = hn::Zero(d), dot = hn::Zero(d);
  const auto step = [=](auto tag, int64_t i, auto& s, auto& t) HWY_ATTR {
    const auto xhat = hn::Mul(hn::Sub(hn::LoadU(tag, x + i), hn::Set(tag, mean)), hn::Set(tag, rstd));
    auto gi = hn::LoadU(tag, g + i);
    if (weight_gradient) {
      hn::StoreU(hn::MulAdd(gi, xhat, hn::LoadU(tag, weight_gradient + i)), tag, weight_gradient + i);
    }
    if (bias_gradient) hn::StoreU(hn::Add(gi, hn::LoadU(tag, bias_gradient + i)), tag, bias_gradient + i);
    if (weight) gi = hn::Mul(gi, hn::LoadU(tag, weight + i));
    hn::StoreU(gi, tag, out + i);
    s = hn::Add(s, gi);
    t = hn::MulAdd(gi, xhat, t);
  };
  int64_t i = 0;
  for (; i + n <= count; i += n) step(d, i, sum, dot);
  sums[0] = hn::GetLane(hn::SumOfLanes(d, sum));
  sums[1] = hn::GetLane(hn::SumOfLanes(d, dot));
  const hn::CappedTag<T, 1> one;
  auto sum_rest = hn::Zero(one), dot_rest = hn::Zero(one);
  for (; i < count; ++i) step(one, i, sum_rest, dot_rest);
  sums[0] += hn::GetLane(sum_rest);
  sums[1] += hn::GetLane(dot_rest);
}

template <typename T>
void GradientRow(const T* x, T mean, T rstd, T a, T b, T* out, int64_t count) {
  ForEachVector<T>(count, [=](auto d, int64_t i) HWY_ATTR {
    const auto r = hn::Set(d, rstd);
    const auto xhat = hn::Mul(hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean)), r);
    const auto centred = hn::Sub(hn::LoadU(d, out + i), hn::Set(d, a));
    hn::StoreU(hn::Mul(r, hn::NegMulAdd(xhat, hn::Set(d, b), centred)), d, out + i);
  });
}

const NormSpans<float>& NormSpansFloat() {
  static constexpr NormSpans<float> kSpans{NormalizeRow<float>, GradientRowSums<float>, GradientRow<float>};
  return kSpans;
}
const NormSpans<double>& NormSpansDouble() {
  static constexpr NormSpans<double> kSpans{NormalizeRow<double>, GradientRowSums<double>,
                                            GradientRow<double>};
  return kSpans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(NormSpansFloat);
HWY_EXPORT(NormSpansDouble);

template <>
const NormSpans<float>& norm_spans<float>() {
  return HWY_DYNAMIC_DISPATCH(NormSpansFloat)();
}
template <>
const NormSpans<double>& norm_spans<double>() {
  return HWY_DYNAMIC_DISPATCH(NormSpansDouble)();
}

namespace {

constexpr int64_t kRowsPerPiece = 64;

template <typename T>
const T* optional_data(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

template <typename T>
void norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon, const NormResult& out) {
  const int64_t columns = x.size(1);
  const bool centre = out.mean.defined();
  const RowSpans<T>& rows = row_spans<T>();
  const NormSpans<T>& spans = norm_spans<T>();
  parallel_for(x.size(0), kRowsPerPiece, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const T* row = x.data<T>() + i * columns;
      const auto n = static_cast<double>(columns);
      const T mean = centre ? static_cast<T>(rows.sum(row, columns) / n) : T{0};
      const auto rstd = static_cast<T>(1 / std::sqrt(rows.sum_square(row, columns, mean) / n + epsilon));
      if (centre) out.mean.data<T>()[i] = mean;
      out.rstd.data<T>()[i] = rstd;
      spans.normalize(row, optional_data<T>(weight), optional_data<T>(bias), mean, rstd,
                      out.output.data<T>() + i * columns, columns);
    }
  });
}

// With gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), where RMS norm leaves out mean(gw).
// Pieces of rows sum the gradients of weight and bias apart; the pieces are added in order.
template <typename T>
void norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                   const NormGradient& out) {
  const int64_t columns = x.size(1), pieces = (x.size(0) + kRowsPerPiece - 1) / kRowsPerPiece;
  const bool centre = saved.mean.defined();
  const Tensor parts = zeros({2, std::max<int64_t>(pieces, 1), columns}, x.dtype());
  const NormSpans<T>& spans = norm_spans<T>();
  parallel_for(x.size(0), kRowsPerPiece, [&](int64_t first, int64_t last) {
    const int64_t piece = first / kRowsPerPiece;
    T* weight_part = out.weight.defined() ? parts.data<T>() + piece * columns : nullptr;
    T* bias_part = out.bias.defined() ? parts.data<T>() + (parts.size(1) + piece) * columns : nullptr;
    for (int64_t i = first; i < last; ++i) {
      const T* row = x.data<T>() + i * columns;
      T* result = out.x.data<T>() + i * columns;
      const T mean = centre ? saved.mean.data<T>()[i] : T{0};
      const T rstd = saved.rstd.data<T>()[i];
      T sums[2];
      spans.gradient_sums(g.data<T>() + i * columns, row, optional_data<T>(weight), mean, rstd, weight_part,
                          bias_part, result, columns, sums);
      const T n = static_cast<T>(columns);
      spans.gradient(row, mean, rstd, centre ? sums[0] / n : T{0}, sums[1] / n, result, columns);
    }
  });
  if (out.weight.defined()) copy_into(out.weight, sum(slice(parts, 0, 0, 1), {0, 1}));
  if (out.bias.defined()) copy_into(out.bias, sum(slice(parts, 0, 1, 2), {0, 1}));
}

}  // namespace

void CpuBackend::layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon,
                            const NormResult& out) {
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, bias, epsilon, out); });
}

void CpuBackend::layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                     const NormResult& saved, const NormGradient& out) {
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

void CpuBackend::rms_norm(const Tensor& x, const Tensor& weight, double epsilon, const NormResult& out) {
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, Tensor(), epsilon, out); });
}

void CpuBackend::rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                   const NormResult& saved, const NormGradient& out) {
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

}  // namespace haze
#endif

#include "haze/engine/ops/norm.h"

#include <cmath>
#include <vector>

#include "haze/engine/cpu/norm_spans.h"
#include "haze/engine/cpu/result_writer.h"
#include "haze/engine/cpu/row_spans.h"
#include "haze/engine/ops/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/partial-inl.h"

// Layer norm and RMS norm share their kernels: RMS norm is layer norm with a mean of 0 that is not
// differentiated.
HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void NormalizeRow(const T* x, const T* weight, const T* bias, T mean, T rstd, T* out, int64_t count,
                  int64_t ahead) {
  const hn::ScalableTag<T> d;
  const auto m = hn::Set(d, mean), r = hn::Set(d, rstd);
  ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
    AskAhead(x, ahead, (count + i) / 2);
    auto y = hn::Mul(hn::Sub(load(x + i), m), r);
    if (weight && bias) {
      y = hn::MulAdd(y, load(weight + i), load(bias + i));
    } else if (weight) {
      y = hn::Mul(y, load(weight + i));
    } else if (bias) {
      y = hn::Add(y, load(bias + i));
    }
    store(y, out + i);
  });
}

// `kRows` rows at a time, so that the sums of weight and bias are read and written once for all of them.
template <int64_t kRows, typename T>
void GradientRows(const NormRows<T>& in, int64_t row, T* weight_gradient, T* bias_gradient, T* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const T *x[kRows], *g[kRows];
  V mean[kRows], rstd[kRows], sum[kRows], dot[kRows];
#pragma GCC unroll 2
  for (int64_t r = 0; r < kRows; ++r) {
    x[r] = in.x + (row + r) * in.columns;
    g[r] = in.g + (row + r) * in.columns;
    mean[r] = hn::Set(d, in.mean ? in.mean[row + r] : T{0});
    rstd[r] = hn::Set(d, in.rstd[row + r]);
    sum[r] = dot[r] = hn::Zero(d);
  }
  ForEachVector<T>(in.columns, [&](auto load, auto store, int64_t i) HWY_ATTR {
    const V weight = in.weight ? load(in.weight + i) : hn::Set(d, T{1});
    V to_weight = weight_gradient ? load(weight_gradient + i) : hn::Zero(d);
    V to_bias = bias_gradient ? load(bias_gradient + i) : hn::Zero(d);
#pragma GCC unroll 2
    for (int64_t r = 0; r < kRows; ++r) {
      const V gr = load(g[r] + i), xhat = hn::Mul(hn::Sub(load(x[r] + i), mean[r]), rstd[r]);
      const V weighted = hn::Mul(gr, weight);
      sum[r] = hn::Add(sum[r], weighted);
      dot[r] = hn::MulAdd(weighted, xhat, dot[r]);
      to_weight = hn::MulAdd(gr, xhat, to_weight);
      to_bias = hn::Add(to_bias, gr);
    }
    if (weight_gradient) store(to_weight, weight_gradient + i);
    if (bias_gradient) store(to_bias, bias_gradient + i);
  });
  const int64_t columns = in.columns;
  const T share = T{1} / static_cast<T>(columns);
  V a[kRows], b[kRows];
  for (int64_t r = 0; r < kRows; ++r) {
    a[r] = hn::Set(d, in.mean ? hn::GetLane(hn::SumOfLanes(d, sum[r])) * share : T{0});
    b[r] = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, dot[r])) * share);
  }
  const int64_t ahead = kRows * prefetch_distance<T>(columns);
  for (int64_t r = 0; r < kRows; ++r) {
    ForEachVector<T>(columns, [&](auto load, auto store, int64_t i) HWY_ATTR {
      AskAhead(x[r], ahead, i);
      AskAhead(g[r], ahead, i);
      const V weight = in.weight ? load(in.weight + i) : hn::Set(d, T{1});
      const V xhat = hn::Mul(hn::Sub(load(x[r] + i), mean[r]), rstd[r]);
      const V centred = hn::MulSub(load(g[r] + i), weight, a[r]);
      store(hn::Mul(rstd[r], hn::NegMulAdd(xhat, b[r], centred)), out + r * columns + i);
    });
  }
}

template <typename T>
void Gradient(const NormRows<T>& in, int64_t first, int64_t rows, T* weight_gradient, T* bias_gradient,
              T* out) {
  static_assert(kNormRowsTogether == 2);
  const auto function = rows == 2 ? GradientRows<2, T> : GradientRows<1, T>;
  function(in, first, weight_gradient, bias_gradient, out);
}

const NormSpans<float>& NormSpansFloat() {
  static constexpr NormSpans<float> kSpans{NormalizeRow<float>, Gradient<float>};
  return kSpans;
}
const NormSpans<double>& NormSpansDouble() {
  static constexpr NormSpans<double> kSpans{NormalizeRow<double>, Gradient<double>};
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
  const int64_t columns = x.size(1), ahead = prefetch_distance<T>(columns);
  const bool centre = out.mean.defined();
  const RowSpans<T>& rows = row_spans<T>();
  const NormSpans<T>& spans = norm_spans<T>();
  const ResultWriter<T> writer(out.output, {&x});
  parallel_for(x.size(0), kRowsPerPiece, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const T* row = x.data<T>() + i * columns;
      const auto n = static_cast<double>(columns);
      const T mean = centre ? static_cast<T>(rows.sum(row, columns) / n) : T{0};
      const double variance = rows.sum_square(row, columns, mean, ahead) / n;
      const auto rstd = static_cast<T>(1 / std::sqrt(variance + epsilon));
      if (centre) out.mean.data<T>()[i] = mean;
      out.rstd.data<T>()[i] = rstd;
      writer.write_row(out.output.data<T>() + i * columns, columns, [&](T* to) {
        spans.normalize(row, optional_data<T>(weight), optional_data<T>(bias), mean, rstd, to, columns,
                        ahead);
      });
    }
  });
}

// With gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), where RMS norm leaves out mean(gw).
// Pieces of rows sum the gradients of weight and bias apart; the pieces are added in order.
template <typename T>
void norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                   const NormGradient& out) {
  const int64_t columns = x.size(1), pieces = (x.size(0) + kRowsPerPiece - 1) / kRowsPerPiece;
  const Tensor parts({2, pieces, columns}, x.dtype());
  std::fill_n(parts.data<T>(), parts.elements(), T{0});
  const NormSpans<T>& spans = norm_spans<T>();
  const NormRows<T> in{
      g.data<T>(),          x.data<T>(), optional_data<T>(weight), optional_data<T>(saved.mean),
      saved.rstd.data<T>(), columns};
  const ResultWriter<T> writer(out.x, {&g, &x});
  parallel_for(x.size(0), kRowsPerPiece, [&](int64_t first, int64_t last) {
    const int64_t piece = first / kRowsPerPiece;
    T* weight_part = out.weight.defined() ? parts.data<T>() + piece * columns : nullptr;
    T* bias_part = out.bias.defined() ? parts.data<T>() + (parts.size(1) + piece) * columns : nullptr;
    for (int64_t i = first; i < last; i += kNormRowsTogether) {
      const int64_t rows = std::min(kNormRowsTogether, last - i);
      writer.write_row(out.x.data<T>() + i * columns, rows * columns,
                       [&](T* to) { spans.gradient(in, i, rows, weight_part, bias_part, to); });
    }
  });
  const auto sum = [&](int64_t which, const Tensor& to) {
    if (!to.defined()) return;
    if (pieces == 0) return (void)std::fill_n(to.data<T>(), columns, T{0});
    call::Reduce{ReduceOp::sum, slice(parts, 0, which, which + 1), 0, reshape(to, {1, columns})}.run(Cpu{});
  };
  sum(0, out.weight);
  sum(1, out.bias);
}

}  // namespace

void call::LayerNorm::run(Cpu) const {
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, bias, epsilon, out); });
}

void call::LayerNormGradient::run(Cpu) const {
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

void call::RmsNorm::run(Cpu) const {
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, Tensor(), epsilon, out); });
}

void call::RmsNormGradient::run(Cpu) const {
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

}  // namespace haze
#endif

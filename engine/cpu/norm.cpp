#include "haze/engine/ops/norm.h"

#include <cmath>
#include <vector>

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/norm_spans.h"
#include "haze/engine/cpu/simd/result_writer.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/ops/creation.h"
#include "haze/engine/ops/reduce.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/norm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/partial-inl.h"

// Layer norm and RMS norm share their kernels: RMS norm is layer norm with a mean of 0 that is not
// differentiated.
HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <typename T>
void NormalizeRow(const T* x, const T* weight, const T* bias, T mean, T rstd, T* out, int64_t count) {
  const hn::ScalableTag<T> d;
  const auto m = hn::Set(d, mean), r = hn::Set(d, rstd);
  ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
    PrefetchNextRow(x, count, (count + i) / 2);
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

template <typename T>
void GradientRow(const NormRows<T>& in, int64_t row, T* weight_gradient, T* bias_gradient, T* out) {
  const hn::ScalableTag<T> d;
  const T* const x = in.x + row * in.columns;
  const T* const g = in.g + row * in.columns;
  const auto mean = hn::Set(d, in.mean ? in.mean[row] : T{0}), rstd = hn::Set(d, in.rstd[row]);
  auto sum = hn::Zero(d), dot = hn::Zero(d);
  ForEachVector<T>(in.columns, [&](auto load, auto store, int64_t i) HWY_ATTR {
    const auto gi = load(g + i), xhat = hn::Mul(hn::Sub(load(x + i), mean), rstd);
    const auto weighted = in.weight ? hn::Mul(gi, load(in.weight + i)) : gi;
    sum = hn::Add(sum, weighted);
    dot = hn::MulAdd(weighted, xhat, dot);
    if (weight_gradient) store(hn::MulAdd(gi, xhat, load(weight_gradient + i)), weight_gradient + i);
    if (bias_gradient) store(hn::Add(gi, load(bias_gradient + i)), bias_gradient + i);
  });
  const T share = T{1} / static_cast<T>(in.columns);
  const auto a = hn::Set(d, in.mean ? hn::GetLane(hn::SumOfLanes(d, sum)) * share : T{0});
  const auto b = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, dot)) * share);
  ForEachVector<T>(in.columns, [&](auto load, auto store, int64_t i) HWY_ATTR {
    PrefetchNextRow(x, in.columns, i);
    PrefetchNextRow(g, in.columns, i);
    const auto xhat = hn::Mul(hn::Sub(load(x + i), mean), rstd);
    const auto weighted = in.weight ? hn::Mul(load(g + i), load(in.weight + i)) : load(g + i);
    store(hn::Mul(rstd, hn::NegMulAdd(xhat, b, hn::Sub(weighted, a))), out + i);
  });
}

const NormSpans<float>& NormSpansFloat() {
  static constexpr NormSpans<float> kSpans{NormalizeRow<float>, GradientRow<float>};
  return kSpans;
}
const NormSpans<double>& NormSpansDouble() {
  static constexpr NormSpans<double> kSpans{NormalizeRow<double>, GradientRow<double>};
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

constexpr int64_t kRowsPerTask = 64;

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
  const ResultWriter<T> writer(out.output, {&x});
  parallel_for(x.size(0), kRowsPerTask, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const T* row = x.data<T>() + i * columns;
      const auto n = static_cast<double>(columns);
      const T mean = centre ? static_cast<T>(rows.sum(row, columns) / n) : T{0};
      const double variance = rows.sum_square(row, columns, mean) / n;
      const auto rstd = static_cast<T>(1 / std::sqrt(variance + epsilon));
      if (centre) out.mean.data<T>()[i] = mean;
      out.rstd.data<T>()[i] = rstd;
      writer.write_row(out.output.data<T>() + i * columns, columns, [&](T* to) {
        spans.normalize(row, optional_data<T>(weight), optional_data<T>(bias), mean, rstd, to, columns);
      });
    }
  });
}

// With gw = g weight: dx = rstd (gw - mean(gw) - xhat mean(gw xhat)), where RMS norm leaves out mean(gw).
// Each task sums the gradients of weight and bias of its rows; the sums of the tasks are added in order.
template <typename T>
void norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, const NormResult& saved,
                   const NormGradient& out) {
  const int64_t columns = x.size(1), tasks = (x.size(0) + kRowsPerTask - 1) / kRowsPerTask;
  const Tensor parts({2, tasks, columns}, x.dtype());
  std::fill_n(parts.data<T>(), parts.elements(), T{0});
  const NormSpans<T>& spans = norm_spans<T>();
  const NormRows<T> in{
      g.data<T>(),          x.data<T>(), optional_data<T>(weight), optional_data<T>(saved.mean),
      saved.rstd.data<T>(), columns};
  const ResultWriter<T> writer(out.x, {&g, &x});
  parallel_for(x.size(0), kRowsPerTask, [&](int64_t first, int64_t last) {
    const int64_t task = first / kRowsPerTask;
    T* weight_part = out.weight.defined() ? parts.data<T>() + task * columns : nullptr;
    T* bias_part = out.bias.defined() ? parts.data<T>() + (parts.size(1) + task) * columns : nullptr;
    for (int64_t i = first; i < last; ++i) {
      writer.write_row(out.x.data<T>() + i * columns, columns,
                       [&](T* to) { spans.gradient(in, i, weight_part, bias_part, to); });
    }
  });
  const auto sum = [&](int64_t which, const Tensor& to) {
    if (!to.defined()) return;
    if (tasks == 0) return (void)std::fill_n(to.data<T>(), columns, T{0});
    call::Reduce{ReduceOp::sum, slice(parts, 0, which, which + 1), 0, reshape(to, {1, columns})}.run(Cpu{});
  };
  sum(0, out.weight);
  sum(1, out.bias);
}

// Rows [first, last) of what a norm saves and gives; undefined stays undefined.
Tensor rows(const Tensor& x, int64_t first, int64_t last) {
  return x.defined() ? slice(x, 0, first, last) : x;
}

NormResult rows(const NormResult& x, int64_t first, int64_t last) {
  return {rows(x.output, first, last), rows(x.mean, first, last), rows(x.rstd, first, last)};
}

// A norm of bfloat16 by chunks of rows; `call` has a widened weight and bias.
template <typename Norm>
void norm_bfloat16(const Norm& call) {
  run_rows_in_float32(call.x.size(0), call.x.size(1), [&](int64_t first, int64_t last) {
    Norm part = call;
    part.x = rows(call.x, first, last), part.out = rows(call.out, first, last);
    return part;
  });
}

// Its gradient. The chunks' gradients of weight and bias are added up in float32, in order.
template <typename Gradient>
void norm_gradient_bfloat16(const Gradient& call) {
  const int64_t count = call.x.size(0), columns = call.x.size(1), chunk = rows_per_task(columns);
  const Tensor parts({2, 1 + count / chunk, columns});
  call::Fill{parts, 0}.run(Cpu{});
  const Tensor weight = widened(call.weight);
  run_rows_in_float32(count, columns, [&](int64_t first, int64_t last) {
    const auto part_of = [&](int64_t which, const Tensor& x) {
      const int64_t at = which * parts.size(1) + first / chunk;
      return x.defined()
                 ? reshape(slice(reshape(parts, {2 * parts.size(1), columns}), 0, at, at + 1), {columns})
                 : x;
    };
    Gradient part = call;
    part.g = rows(call.g, first, last), part.x = rows(call.x, first, last), part.weight = weight;
    part.saved = rows(call.saved, first, last);
    part.out = {rows(call.out.x, first, last), part_of(0, call.out.weight), part_of(1, call.out.bias)};
    return part;
  });
  const auto sum = [&](int64_t which, const Tensor& to) {
    if (!to.defined()) return;
    const Tensor total({1, columns});
    call::Reduce{ReduceOp::sum, slice(parts, 0, which, which + 1), 0, total}.run(Cpu{});
    call::Copy{reshape(total, {columns}), to}.run(Cpu{});
  };
  sum(0, call.out.weight);
  sum(1, call.out.bias);
}

}  // namespace

void call::LayerNorm::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return norm_bfloat16(LayerNorm{x, widened(weight), widened(bias), epsilon, out});
  }
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, bias, epsilon, out); });
}

void call::LayerNormGradient::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return norm_gradient_bfloat16(*this);
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

void call::RmsNorm::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return norm_bfloat16(RmsNorm{x, widened(weight), epsilon, out});
  dispatch_real(x.dtype(), [&](auto tag) { norm<decltype(tag)>(x, weight, Tensor(), epsilon, out); });
}

void call::RmsNormGradient::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return norm_gradient_bfloat16(*this);
  dispatch_real(x.dtype(), [&](auto tag) { norm_gradient<decltype(tag)>(g, x, weight, saved, out); });
}

}  // namespace haze
#endif

#include "haze/engine/cpu/attention_spans.h"

#include <limits>

#include "haze/engine/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/attention_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/math-inl.h"
#include "haze/engine/cpu/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

/// The largest element, NaN where there is one.
template <typename T>
HWY_INLINE T RowMax(const T* row, int64_t columns) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto best = hn::Set(d, -std::numeric_limits<T>::infinity());
  auto has_nan = hn::IsNaN(best);
  const auto take = [&](auto v) HWY_ATTR {
    best = hn::Max(best, v);
    has_nan = hn::Or(has_nan, hn::IsNaN(v));
  };
  int64_t c = 0;
  for (; c + n <= columns; c += n) take(hn::LoadU(d, row + c));
  if (c < columns) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(columns - c));
    take(hn::IfThenElse(rest, LoadPart(rest, d, row + c), hn::Set(d, -std::numeric_limits<T>::infinity())));
  }
  if (!hn::AllFalse(d, has_nan)) return std::numeric_limits<T>::quiet_NaN();
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

/// row[c] becomes e^(scale row[c] - shift); their sum.
template <typename T>
HWY_INLINE double ExpRow(T* row, int64_t columns, T scale, T shift) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale), minus_shift = hn::Set(d, -shift);
  auto sum = hn::Zero(d);
  int64_t c = 0;
  for (; c + n <= columns; c += n) {
    const auto e = Exp(d, hn::MulAdd(hn::LoadU(d, row + c), factor, minus_shift));
    hn::StoreU(e, d, row + c);
    sum = hn::Add(sum, e);
  }
  if (c < columns) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(columns - c));
    const auto e =
        hn::IfThenElseZero(rest, Exp(d, hn::MulAdd(LoadPart(rest, d, row + c), factor, minus_shift)));
    StorePart(e, rest, d, row + c);
    sum = hn::Add(sum, e);
  }
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
}

template <typename T>
void Softmax(T* scores, const ScoreTile& tile, T scale, T* max, double* total, T* correction) {
  constexpr T kNothing = -std::numeric_limits<T>::infinity();
  for (int64_t r = 0; r < tile.rows; ++r) {
    T* row = scores + r * tile.stride;
    const T tile_max = scale * RowMax(row, tile.columns);
    const T new_max = std::isnan(tile_max) || tile_max > max[r] ? tile_max : max[r];
    if (new_max == kNothing) {
      std::fill_n(row, tile.columns, T{0});
      correction[r] = 1;
      continue;
    }
    correction[r] = new_max == max[r] ? T{1} : std::exp(max[r] - new_max);
    total[r] = total[r] * static_cast<double>(correction[r]) + ExpRow(row, tile.columns, scale, new_max);
    max[r] = new_max;
  }
}

template <typename T>
void SoftmaxGradientRow(T* scores, T* gradients, int64_t columns, T scale, T logsumexp, T delta) {
  const hn::ScalableTag<T> d;
  const auto factor = hn::Set(d, scale), shift = hn::Set(d, -logsumexp), offset = hn::Set(d, delta);
  ForEachVector<T>(columns, [=](auto load, auto store, int64_t c) HWY_ATTR {
    const auto p = Exp(d, hn::MulAdd(load(scores + c), factor, shift));
    store(hn::Mul(hn::Mul(p, factor), hn::Sub(load(gradients + c), offset)), gradients + c);
    store(p, scores + c);
  });
}

template <typename T>
void SoftmaxGradient(T* scores, T* gradients, const ScoreTile& tile, T scale, const T* logsumexp,
                     const T* delta) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    T* score_row = scores + r * tile.stride;
    T* gradient_row = gradients + r * tile.stride;
    if (logsumexp[r] == -std::numeric_limits<T>::infinity()) {
      std::fill_n(score_row, tile.columns, T{0});
      std::fill_n(gradient_row, tile.columns, T{0});
      continue;
    }
    SoftmaxGradientRow(score_row, gradient_row, tile.columns, scale, logsumexp[r], delta[r]);
  }
}

template <typename T>
void RowDots(const T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows, int64_t columns,
             T* dots) {
  const hn::ScalableTag<T> d;
  for (int64_t r = 0; r < rows; ++r, x += x_stride, y += y_stride) {
    auto sum = hn::Zero(d);
    ForEachVector<T>(columns, [&](auto load, auto, int64_t c)
                                  HWY_ATTR { sum = hn::MulAdd(load(x + c), load(y + c), sum); });
    dots[r] = hn::GetLane(hn::SumOfLanes(d, sum));
  }
}

const AttentionSpans<float>* SpansFloat() {
  static constexpr AttentionSpans<float> kSpans{Softmax<float>, SoftmaxGradient<float>, RowDots<float>};
  return &kSpans;
}
const AttentionSpans<double>* SpansDouble() {
  static constexpr AttentionSpans<double> kSpans{Softmax<double>, SoftmaxGradient<double>, RowDots<double>};
  return &kSpans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(SpansFloat);
HWY_EXPORT(SpansDouble);

template <>
const AttentionSpans<float>& attention_spans<float>() {
  return *HWY_DYNAMIC_DISPATCH(SpansFloat)();
}
template <>
const AttentionSpans<double>& attention_spans<double>() {
  return *HWY_DYNAMIC_DISPATCH(SpansDouble)();
}

}  // namespace haze
#endif

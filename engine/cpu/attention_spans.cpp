#include "haze/engine/cpu/attention_spans.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/engine/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/attention_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/math-inl.h"
#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

/// The largest element; where there is NaN, anything.
template <typename T>
HWY_INLINE T RowMax(const T* row, int64_t columns) {
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const auto least = hn::Set(d, -std::numeric_limits<T>::infinity());
  auto best = least;
  int64_t c = 0;
  for (; c + n <= columns; c += n) best = hn::Max(best, hn::LoadU(d, row + c));
  if (c < columns) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(columns - c));
    best = hn::Max(best, hn::IfThenElse(rest, LoadPart(rest, d, row + c), least));
  }
  return hn::GetLane(hn::MaxOfLanes(d, best));
}

/// row[c] becomes e^(scale row[c] - shift); their sum. Where `shift` is -infinity, all are masked or one
/// is NaN.
template <typename T>
HWY_INLINE double ExpRow(T* row, int64_t columns, T scale, T shift) {
  if (shift == -std::numeric_limits<T>::infinity()) {
    const bool has_nan = std::any_of(row, row + columns, [](T score) { return std::isnan(score); });
    std::fill_n(row, columns, T{0});
    return has_nan ? std::numeric_limits<double>::quiet_NaN() : 0.0;
  }
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const auto factor = hn::Set(d, scale), minus_shift = hn::Set(d, -shift);
  auto sum = hn::Zero(d);
  int64_t c = 0;
  for (; c + n <= columns; c += n) {
    const auto e = ExpOrZero(d, hn::MulAdd(hn::LoadU(d, row + c), factor, minus_shift));
    hn::StoreU(e, d, row + c);
    sum = hn::Add(sum, e);
  }
  if (c < columns) {
    const auto rest = hn::FirstN(d, static_cast<size_t>(columns - c));
    const auto e =
        hn::IfThenElseZero(rest, ExpOrZero(d, hn::MulAdd(LoadPart(rest, d, row + c), factor, minus_shift)));
    StorePart(e, rest, d, row + c);
    sum = hn::Add(sum, e);
  }
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
}

template <typename T>
void Softmax(T* scores, const ScoreTile& tile, T scale, T* max, double* total, T* correction) {
  // In float32, rounding a larger maximum can leave exponents that ExpOrZero does not take.
  constexpr T kTooLarge = sizeof(T) == 4 ? static_cast<T>(0x1p30) : std::numeric_limits<T>::infinity();
  for (int64_t r = 0; r < tile.rows; ++r) {
    T* row = scores + r * tile.stride;
    const T tile_max = scale * RowMax(row, tile.columns);
    T new_max = std::isnan(tile_max) || tile_max > max[r] ? tile_max : max[r];
    if (std::abs(new_max) >= kTooLarge && new_max != -std::numeric_limits<T>::infinity())
      new_max = std::numeric_limits<T>::quiet_NaN();
    correction[r] = new_max == max[r] ? T{1} : std::exp(max[r] - new_max);
    total[r] = total[r] * static_cast<double>(correction[r]) + ExpRow(row, tile.columns, scale, new_max);
    max[r] = new_max;
  }
}

template <typename T>
void SoftmaxGradientRow(T* scores, T* gradients, int64_t columns, T scale, T gradient_scale, T max, T inverse,
                        T delta) {
  const hn::ScalableTag<T> d;
  const auto factor = hn::Set(d, scale), shift = hn::Set(d, -max), over_sum = hn::Set(d, inverse);
  const auto gradient_factor = hn::Set(d, gradient_scale), offset = hn::Set(d, delta);
  ForEachVector<T>(columns, [=](auto load, auto store, int64_t c) HWY_ATTR {
    const auto p = hn::Mul(ExpOrZero(d, hn::MulAdd(load(scores + c), factor, shift)), over_sum);
    store(hn::Mul(hn::Mul(p, gradient_factor), hn::Sub(load(gradients + c), offset)), gradients + c);
    store(p, scores + c);
  });
}

template <typename T>
void SoftmaxGradient(T* scores, T* gradients, const ScoreTile& tile, T scale, T gradient_scale, const T* max,
                     const T* sum, const T* delta) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    T* score_row = scores + r * tile.stride;
    T* gradient_row = gradients + r * tile.stride;
    if (sum[r] == 0) {
      std::fill_n(score_row, tile.columns, T{0});
      std::fill_n(gradient_row, tile.columns, T{0});
      continue;
    }
    SoftmaxGradientRow(score_row, gradient_row, tile.columns, scale, gradient_scale, max[r], 1 / sum[r],
                       delta[r]);
  }
}

// Loops without intrinsics: the compiler makes vectors of them, for a stride of 1 apart.
template <typename T>
void RuleOut(T* scores, const uint8_t* mask, int64_t stride, int64_t columns) {
  constexpr T kMasked = -std::numeric_limits<T>::infinity();
  for (int64_t c = 0; c < columns; ++c) scores[c] = mask[c * stride] != 0 ? scores[c] : kMasked;
}

template <typename T>
void AddMask(T* scores, const T* mask, int64_t stride, int64_t columns, T scale) {
  constexpr T kMasked = -std::numeric_limits<T>::infinity();
  for (int64_t c = 0; c < columns; ++c) {
    const T added = mask[c * stride];
    scores[c] = added == kMasked ? kMasked : scale * scores[c] + added;
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
  static constexpr AttentionSpans<float> kSpans{Softmax<float>, SoftmaxGradient<float>, RuleOut<float>,
                                                AddMask<float>, RowDots<float>};
  return &kSpans;
}
const AttentionSpans<double>* SpansDouble() {
  static constexpr AttentionSpans<double> kSpans{Softmax<double>, SoftmaxGradient<double>, RuleOut<double>,
                                                 AddMask<double>, RowDots<double>};
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

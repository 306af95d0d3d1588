#include "haze/engine/cpu/simd/row_spans.h"

#include <limits>

#include "haze/engine/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/row_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "haze/engine/cpu/simd/math-inl.h"
#include "haze/engine/cpu/simd/partial-inl.h"

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {

template <typename T>
using Tag = hn::ScalableTag<T>;

// sum over i of term(d, i): vectors of elements at i, four accumulators a block; `term_one` gives one
// element.
template <typename T, class Term, class TermOne>
HWY_INLINE double BlockedSum(int64_t count, Term term, TermOne term_one) {
  const Tag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  double total = 0;
  int64_t i = 0;
  while (i + n <= count) {
    const int64_t end = std::min(count, i + kSumBlock);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (; i + 4 * n <= end; i += 4 * n) {
      s0 = hn::Add(s0, term(d, i));
      s1 = hn::Add(s1, term(d, i + n));
      s2 = hn::Add(s2, term(d, i + 2 * n));
      s3 = hn::Add(s3, term(d, i + 3 * n));
    }
    for (; i + n <= end; i += n) s0 = hn::Add(s0, term(d, i));
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)))));
  }
  for (; i < count; ++i) total += static_cast<double>(term_one(i));
  return total;
}

// accumulator[i] = f(accumulator[i], i) by vectors, with the last elements one by one in a vector of one
// value.
template <typename T, class F>
HWY_INLINE void UpdateSpan(T* accumulator, const T* x, const T* y, int64_t count, F f) {
  const Tag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) {
    const auto second = y ? hn::LoadU(d, y + i) : hn::Zero(d);
    hn::StoreU(f(d, hn::LoadU(d, accumulator + i), hn::LoadU(d, x + i), second), d, accumulator + i);
  }
  for (; i < count; ++i) {
    const auto second = hn::Set(d, y ? y[i] : T{0});
    accumulator[i] = hn::GetLane(f(d, hn::Set(d, accumulator[i]), hn::Set(d, x[i]), second));
  }
}

template <class D, class V>
HWY_INLINE V MaxOrNan(D, V a, V b) {
  return hn::IfThenElse(hn::Or(hn::IsNaN(b), hn::Gt(b, a)), b, a);
}
template <class D, class V>
HWY_INLINE V MinOrNan(D, V a, V b) {
  return hn::IfThenElse(hn::Or(hn::IsNaN(b), hn::Lt(b, a)), b, a);
}

template <typename T, class Pick>
HWY_INLINE T Extremum(const T* x, int64_t count, T start, Pick pick) {
  const Tag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  auto best = hn::Set(d, start);
  int64_t i = 0;
  if (count >= 4 * n) {  // four at a time, as each waits for the one before
    auto b1 = best, b2 = best, b3 = best;
    for (; i + 4 * n <= count; i += 4 * n) {
      best = pick(d, best, hn::LoadU(d, x + i));
      b1 = pick(d, b1, hn::LoadU(d, x + i + n));
      b2 = pick(d, b2, hn::LoadU(d, x + i + 2 * n));
      b3 = pick(d, b3, hn::LoadU(d, x + i + 3 * n));
    }
    best = pick(d, pick(d, best, b1), pick(d, b2, b3));
  }
  for (; i + n <= count; i += n) best = pick(d, best, hn::LoadU(d, x + i));
  for (; i < count; ++i) best = pick(d, best, hn::Set(d, x[i]));
  HWY_ALIGN T lanes[HWY_MAX_BYTES / sizeof(T)];
  hn::Store(best, d, lanes);
  auto result = hn::Set(d, lanes[0]);
  for (int64_t lane = 1; lane < n; ++lane) result = pick(d, result, hn::Set(d, lanes[lane]));
  return hn::GetLane(result);
}

template <typename T>
T ExpOfOne(T x) {
  const Tag<T> d;
  return hn::GetLane(ExpNotPositive(d, hn::Set(d, x)));
}

template <typename T>
RowSpans<T> MakeRowSpans() {
  RowSpans<T> spans;
  spans.sum = [](const T* x, int64_t count) {
    return BlockedSum<T>(
        count, [x](auto d, int64_t i) HWY_ATTR { return hn::LoadU(d, x + i); },
        [x](int64_t i) { return x[i]; });
  };
  spans.max = [](const T* x, int64_t count) {
    return Extremum(x, count, -std::numeric_limits<T>::infinity(),
                    [](auto d, auto a, auto b) HWY_ATTR { return MaxOrNan(d, a, b); });
  };
  spans.min = [](const T* x, int64_t count) {
    return Extremum(x, count, std::numeric_limits<T>::infinity(),
                    [](auto d, auto a, auto b) HWY_ATTR { return MinOrNan(d, a, b); });
  };
  spans.sum_exp = [](const T* x, int64_t count, T shift) {
    return BlockedSum<T>(
        count,
        [=](auto d, int64_t i)
            HWY_ATTR { return ExpNotPositive(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift))); },
        [=](int64_t i) { return ExpOfOne(x[i] - shift); });
  };
  spans.exp_and_sum = [](const T* x, T* out, int64_t count, T shift) {
    return BlockedSum<T>(
        count,
        [=](auto d, int64_t i) HWY_ATTR {
          PrefetchNextRow(x, count, i);
          const auto term = ExpNotPositive(d, hn::Sub(hn::LoadU(d, x + i), hn::Set(d, shift)));
          hn::StoreU(term, d, out + i);
          return term;
        },
        [=](int64_t i) { return out[i] = ExpOfOne(x[i] - shift); });
  };
  spans.sum_square = [](const T* x, int64_t count, T mean) {
    return BlockedSum<T>(
        count,
        [=](auto d, int64_t i) HWY_ATTR {
          PrefetchNextRow(x, count, i / 2);
          const auto difference = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
          return hn::Mul(difference, difference);
        },
        [=](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  };
  spans.dot = [](const T* x, const T* y, int64_t count) {
    return BlockedSum<T>(
        count, [=](auto d, int64_t i) HWY_ATTR { return hn::Mul(hn::LoadU(d, x + i), hn::LoadU(d, y + i)); },
        [=](int64_t i) { return x[i] * y[i]; });
  };
  spans.softmax_gradient = [](const T* y, const T* g, T sum, T* out, int64_t count) {
    const auto s = hn::Set(Tag<T>(), sum);
    ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
      PrefetchNextRow(y, count, i);
      PrefetchNextRow(g, count, i);
      store(hn::Mul(load(y + i), hn::Sub(load(g + i), s)), out + i);
    });
  };
  spans.log_softmax_gradient = [](const T* y, const T* g, T sum, T* out, int64_t count) {
    const auto s = hn::Set(Tag<T>(), sum);
    ForEachVector<T>(count, [=](auto load, auto store, int64_t i) HWY_ATTR {
      PrefetchNextRow(y, count, i);
      PrefetchNextRow(g, count, i);
      store(hn::NegMulAdd(Exp(Tag<T>(), load(y + i)), s, load(g + i)), out + i);
    });
  };
  spans.add = [](T* accumulator, const T* x, int64_t count) {
    UpdateSpan<T>(accumulator, x, nullptr, count,
                  [](auto, auto a, auto v, auto) HWY_ATTR { return hn::Add(a, v); });
  };
  spans.keep_max = [](T* accumulator, const T* x, int64_t count) {
    UpdateSpan<T>(accumulator, x, nullptr, count,
                  [](auto d, auto a, auto v, auto) HWY_ATTR { return MaxOrNan(d, a, v); });
  };
  spans.keep_min = [](T* accumulator, const T* x, int64_t count) {
    UpdateSpan<T>(accumulator, x, nullptr, count,
                  [](auto d, auto a, auto v, auto) HWY_ATTR { return MinOrNan(d, a, v); });
  };
  spans.add_exp = [](T* accumulator, const T* x, const T* shift, int64_t count) {
    UpdateSpan<T>(accumulator, x, shift, count, [](auto d, auto a, auto v, auto s) HWY_ATTR {
      return hn::Add(a, ExpNotPositive(d, hn::Sub(v, s)));
    });
  };
  spans.add_square = [](T* accumulator, const T* x, const T* mean, int64_t count) {
    UpdateSpan<T>(accumulator, x, mean, count, [](auto, auto a, auto v, auto m) HWY_ATTR {
      const auto difference = hn::Sub(v, m);
      return hn::MulAdd(difference, difference, a);
    });
  };
  return spans;
}

const RowSpans<float>& RowSpansFloat() {
  static const RowSpans<float> spans = MakeRowSpans<float>();
  return spans;
}
const RowSpans<double>& RowSpansDouble() {
  static const RowSpans<double> spans = MakeRowSpans<double>();
  return spans;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(RowSpansFloat);
HWY_EXPORT(RowSpansDouble);

template <>
const RowSpans<float>& row_spans<float>() {
  return HWY_DYNAMIC_DISPATCH(RowSpansFloat)();
}
template <>
const RowSpans<double>& row_spans<double>() {
  return HWY_DYNAMIC_DISPATCH(RowSpansDouble)();
}

}  // namespace haze
#endif

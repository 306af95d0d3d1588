#include "haze/engine/cpu/random_spans.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/random_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
using Words = hn::ScalableTag<uint32_t>;
using Vector = hn::Vec<Words>;

/// Lower and upper halves of the 64-bit products of each lane with `factor`.
HWY_INLINE void MultiplyWide(Vector x, uint32_t factor, Vector& low, Vector& high) {
  const Words d;
  const hn::Repartition<uint64_t, Words> d64;
  const auto f = hn::Set(d, factor);
  const auto even = hn::MulEven(x, f);
  const auto odd = hn::MulEven(hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(d64, x))), f);
  const auto lower = hn::Set(d64, 0xFFFFFFFFull);
  low = hn::BitCast(d, hn::Or(hn::And(even, lower), hn::ShiftLeft<32>(odd)));
  high = hn::BitCast(d, hn::Or(hn::ShiftRight<32>(even), hn::AndNot(lower, odd)));
}

/// As philox() of generator.h, for a counter a lane.
HWY_INLINE void Philox(Vector (&c)[4], uint32_t key0, uint32_t key1) {
  const Words d;
  for (int round = 0; round < 10; ++round) {
    Vector low0, high0, low1, high1;
    MultiplyWide(c[0], 0xD2511F53u, low0, high0);
    MultiplyWide(c[2], 0xCD9E8D57u, low1, high1);
    c[0] = hn::Xor(hn::Xor(high1, c[1]), hn::Set(d, key0));
    c[1] = low1;
    c[2] = hn::Xor(hn::Xor(high0, c[3]), hn::Set(d, key1));
    c[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}
#endif

/// The words of counters [position.counter + first, ... + count).
void CounterWords(const RandomPosition& position, uint64_t first, int64_t count, uint32_t* out) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Words d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  for (; i + n <= count; i += n) {
    const uint64_t counter = position.counter + first + static_cast<uint64_t>(i);
    const auto start = hn::Set(d, static_cast<uint32_t>(counter));
    const auto low = hn::Add(start, hn::Iota(d, 0));
    const auto carry = hn::IfThenElseZero(hn::Lt(low, start), hn::Set(d, 1u));
    Vector c[4] = {low, hn::Add(hn::Set(d, static_cast<uint32_t>(counter >> 32)), carry),
                   hn::Set(d, static_cast<uint32_t>(position.stream)),
                   hn::Set(d, static_cast<uint32_t>(position.stream >> 32))};
    Philox(c, static_cast<uint32_t>(position.seed), static_cast<uint32_t>(position.seed >> 32));
    hn::StoreInterleaved4(c[0], c[1], c[2], c[3], d, out + 4 * i);
  }
#endif
  for (; i < count; ++i) {
    const auto words = position.words(first + static_cast<uint64_t>(i));
    std::copy(words.begin(), words.end(), out + 4 * i);
  }
}

template <typename T>
void Dropout(const T* x, const uint32_t* words, int64_t count, uint32_t threshold, T scale, T* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = words[i] >= threshold ? x[i] * scale : T{0};
}

DropoutSpan<float> DropoutFloat() {
  return Dropout<float>;
}
DropoutSpan<double> DropoutDouble() {
  return Dropout<double>;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(CounterWords);
HWY_EXPORT(DropoutFloat);
HWY_EXPORT(DropoutDouble);

void random_words(const RandomPosition& position, int64_t first, int64_t count, uint32_t* words) {
  // Words before the first whole counter and behind the last come from counters that are read in part.
  const auto part = [&](int64_t from, int64_t until) {
    const auto four = position.words(static_cast<uint64_t>(from / 4));
    for (int64_t w = from; w < until; ++w) *words++ = four[static_cast<size_t>(w % 4)];
  };
  const int64_t last = first + count, whole_from = (first + 3) / 4 * 4, whole_until = last / 4 * 4;
  if (whole_from >= whole_until) {
    for (int64_t w = first; w < last;) {
      const int64_t until = std::min(last, w / 4 * 4 + 4);
      part(w, until);
      w = until;
    }
    return;
  }
  if (first < whole_from) part(first, whole_from);
  HWY_DYNAMIC_DISPATCH(CounterWords)
  (position, static_cast<uint64_t>(whole_from / 4), (whole_until - whole_from) / 4, words);
  words += whole_until - whole_from;
  if (whole_until < last) part(whole_until, last);
}

template <>
DropoutSpan<float> dropout_span<float>() {
  return HWY_DYNAMIC_DISPATCH(DropoutFloat)();
}
template <>
DropoutSpan<double> dropout_span<double>() {
  return HWY_DYNAMIC_DISPATCH(DropoutDouble)();
}

}  // namespace haze
#endif

#include "haze/engine/cpu/simd/random_spans.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/simd/random_spans.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR
using Lanes64 = hn::ScalableTag<uint64_t>;
using Vector = hn::Vec<Lanes64>;

/// The product of the lower halves of x's lanes with `factor`.
HWY_INLINE Vector MultiplyLower(Vector x, uint32_t factor) {
  const hn::Repartition<uint32_t, Lanes64> d32;
  return hn::MulEven(hn::BitCast(d32, x), hn::Set(d32, factor));
}

constexpr int kRounds = 10;

/// As philox() of generator.h, for a counter a lane of 64 bits, kCounters vectors of them, with the keys of
/// each round. A word is the lower half of a lane; what is in the upper half plays no part, so the lower word
/// of a product is the product as it is.
template <int kCounters>
HWY_INLINE void Philox(Vector (&c)[kCounters][4], const Vector (&keys0)[kRounds],
                       const Vector (&keys1)[kRounds]) {
#pragma GCC unroll 10
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 4
    for (auto& words : c) {
      const Vector product0 = MultiplyLower(words[0], 0xD2511F53u);
      const Vector product1 = MultiplyLower(words[2], 0xCD9E8D57u);
      words[0] = hn::Xor(hn::Xor(hn::ShiftRight<32>(product1), words[1]), keys0[round]);
      words[1] = product1;
      words[2] = hn::Xor(hn::Xor(hn::ShiftRight<32>(product0), words[3]), keys1[round]);
      words[3] = product0;
    }
  }
}
#endif

/// The words of counters [position.first() + first, ... + count).
void CounterWords(const RandomPosition& position, uint64_t first, int64_t count, uint32_t* out) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const Lanes64 d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  const uint64_t origin = position.first() + first;
  Vector keys0[kRounds], keys1[kRounds];
  auto key0 = static_cast<uint32_t>(position.seed), key1 = static_cast<uint32_t>(position.seed >> 32);
  for (int round = 0; round < kRounds; ++round, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
    keys0[round] = hn::Set(d, uint64_t{key0});
    keys1[round] = hn::Set(d, uint64_t{key1});
  }
  const Vector lower = hn::Set(d, uint64_t{0xFFFFFFFF}), stream = hn::Set(d, position.stream);
  const auto pair = [=](Vector low, Vector high)
                        HWY_ATTR { return hn::Or(hn::And(low, lower), hn::ShiftLeft<32>(high)); };
  constexpr int kCounters = 2;  // vectors at a time, as each round waits for the one before
  for (; i + kCounters * n <= count; i += kCounters * n) {
    Vector c[kCounters][4];
    for (int v = 0; v < kCounters; ++v) {
      const uint64_t start = origin + static_cast<uint64_t>(i + v * n);
      const Vector counter = hn::Add(hn::Set(d, start), hn::Iota(d, 0));
      c[v][0] = counter;
      c[v][1] = hn::ShiftRight<32>(counter);
      c[v][2] = stream;
      c[v][3] = hn::ShiftRight<32>(stream);
    }
    Philox(c, keys0, keys1);
    for (int v = 0; v < kCounters; ++v) {
      // Words 0 and 1 of a counter, and 2 and 3, beside each other.
      hn::StoreInterleaved2(pair(c[v][0], c[v][1]), pair(c[v][2], c[v][3]), d,
                            reinterpret_cast<uint64_t*>(out + 4 * (i + v * n)));
    }
  }
#endif
  for (; i < count; ++i) {
    const auto words = position.words(first + static_cast<uint64_t>(i));
    std::copy(words.begin(), words.end(), out + 4 * i);
  }
}

/// Elements whose word is below `threshold` become 0, the others are scaled. Without a branch, which would be
/// mispredicted as often as an element is dropped.
template <typename T>
void Dropout(const T* x, const uint32_t* words, int64_t count, uint32_t threshold, T scale, T* out) {
  int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == sizeof(uint32_t)) {
    const hn::ScalableTag<T> d;
    const hn::RebindToUnsigned<decltype(d)> du;
    const auto n = static_cast<int64_t>(hn::Lanes(d));
    const auto least = hn::Set(du, threshold);
    const auto factor = hn::Set(d, scale);
    for (; i + n <= count; i += n) {
      const auto dropped = hn::RebindMask(d, hn::Lt(hn::LoadU(du, words + i), least));
      hn::StoreU(hn::IfThenZeroElse(dropped, hn::Mul(hn::LoadU(d, x + i), factor)), d, out + i);
    }
  }
#endif
  for (; i < count; ++i) out[i] = words[i] >= threshold ? x[i] * scale : T{0};
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

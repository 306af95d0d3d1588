#include "haze/engine/ops/random.h"

#include <cmath>
#include <cstring>

#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/cpu/strided.h"

// Random numbers. All kernels read one stream of 32-bit words, in which word w is word w % 4 of counter w /
// 4, and element i of a result reads the same words whichever thread computes it.
namespace haze {
namespace {

// Words of the stream that one element uses.
template <typename T>
constexpr int64_t kWords = sizeof(T) / sizeof(uint32_t);

// Calls body(first, count, words) for chunks of elements, of which all but the last are even in number.
template <typename T, typename Body>
void for_each_stretch(const RandomPosition& position, int64_t elements, Body&& body) {
  parallel_for(elements, kElementGrain, [&](int64_t first, int64_t last) {
    uint32_t words[kChunk * kWords<T>];
    for (int64_t at = first; at < last; at += kChunk) {
      const int64_t count = std::min(kChunk, last - at);
      // An odd element at the end is half a pair; its pair's words are read all the same.
      random_words(position, at * kWords<T>, (count + count % 2) * kWords<T>, words);
      body(at, count, words);
    }
  });
}

// In [0, 1): as many bits as the type's significand holds.
float unit(const uint32_t* words, float) {
  return static_cast<float>(static_cast<int32_t>(words[0] >> 8)) * 0x1p-24f;
}
double unit(const uint32_t* words, double) {
  return unit_interval(words[0], words[1]);
}

}  // namespace

void call::Uniform::run(Cpu) const {
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T from = static_cast<T>(low), to = static_cast<T>(high), width = static_cast<T>(high - low);
    // The sum below may round up to `high`, which the interval leaves out.
    const T largest = std::nextafter(to, from);
    T* result = out.data<T>();
    for_each_stretch<T>(position, out.elements(), [&](int64_t first, int64_t count, const uint32_t* words) {
      for (int64_t i = 0; i < count; ++i) {
        const T value = from + width * unit(words + i * kWords<T>, T{});
        result[first + i] = value < largest ? value : largest;
      }
    });
  });
}

void call::Normal::run(Cpu) const {
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T center = static_cast<T>(mean), deviation = static_cast<T>(standard_deviation);
    const NormalSpan<T> span = normal_span<T>();
    T* result = out.data<T>();
    for_each_stretch<T>(position, out.elements(), [&](int64_t first, int64_t count, const uint32_t* words) {
      span(words, count, center, deviation, result + first);
    });
  });
}

void call::AdvanceCounter::run(Cpu) const {
  uint64_t value;
  std::memcpy(&value, counter.raw(), sizeof(value));
  value += by;
  std::memcpy(counter.raw(), &value, sizeof(value));
}

}  // namespace haze

#include <cmath>
#include <numbers>

#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/random_spans.h"
#include "haze/engine/cpu/result_writer.h"
#include "haze/engine/cpu/strided.h"

// Random numbers. All kernels read one stream of 32-bit words, in which word w is word w % 4 of counter w /
// 4, and element i of a result reads the same words whichever thread computes it.
namespace haze {
namespace {

// Words of the stream that one element uses.
template <typename T>
constexpr int64_t kWords = sizeof(T) / sizeof(uint32_t);

// Calls body(first, count, words) for stretches of elements, of which all but the last are even in number.
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

// In (0, 1]. Near 0, where the logarithm makes the normal distribution's tail, float has all 32 bits.
float positive_unit(const uint32_t* words, float) {
  return static_cast<float>(words[0]) * 0x1p-32f + 0x1p-33f;
}
double positive_unit(const uint32_t* words, double) {
  return 1 - unit_interval(words[0], words[1]);
}

}  // namespace

void CpuBackend::uniform(RandomPosition position, double low, double high, const Tensor& out) {
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

void CpuBackend::normal(RandomPosition position, double mean, double standard_deviation, const Tensor& out) {
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T center = static_cast<T>(mean), deviation = static_cast<T>(standard_deviation);
    T* result = out.data<T>();
    for_each_stretch<T>(position, out.elements(), [&](int64_t first, int64_t count, const uint32_t* words) {
      for (int64_t i = 0; i < count; i += 2) {
        const uint32_t* pair = words + i * kWords<T>;
        const T radius = deviation * std::sqrt(T{-2} * std::log(positive_unit(pair, T{})));
        const T angle = 2 * std::numbers::pi_v<T> * unit(pair + kWords<T>, T{});
        result[first + i] = center + radius * std::cos(angle);
        if (i + 1 < count) result[first + i + 1] = center + radius * std::sin(angle);
      }
    });
  });
}

void CpuBackend::dropout(const Tensor& x, double probability, RandomPosition position, const Tensor& out) {
  const auto threshold = static_cast<uint32_t>(probability * 0x1p32);  // below 2^32, as probability < 1
  const StridedLayout<2> layout(out.shape(), {&x, &out});
  const int64_t stride = layout.inner_stride(0);
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T scale = static_cast<T>(1 / (1 - probability));
    const DropoutSpan<T> span = dropout_span<T>();
    const T* from = x.data<T>();
    T* to = out.data<T>();
    const ResultWriter<T> writer(out, {&x});
    for_each_run(layout, [&](const std::array<int64_t, 2>& offsets, int64_t run) {
      uint32_t words[kChunk];
      alignas(64) T buffer[kChunk];
      for (int64_t at = 0; at < run; at += kChunk) {
        const int64_t count = std::min(kChunk, run - at);
        // The result is dense, so an element's offset is its number in row-major order.
        random_words(position, offsets[1] + at, count, words);
        const T* source = packed(from + offsets[0] + at * stride, stride, count, buffer);
        writer.write_row(to + offsets[1] + at, count,
                         [&](T* target) { span(source, words, count, threshold, scale, target); });
      }
    });
  });
}

}  // namespace haze

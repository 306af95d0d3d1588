#include <cmath>

#include "haze/engine/box_muller.h"
#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/vector.h"
#include "haze/engine/ops/random.h"

// A thread has one counter of the generator. Its four words make four numbers of float32 or two of float64.
// Each element has the words that the cpu's kernels give it, and goes through the same functions.
namespace haze::HAZE_KERNELS {
namespace {

/// Elements that the words of one counter make.
template <typename T>
constexpr int kElements = 16 / sizeof(T);

/// The random bits of the elements of one counter.
template <typename T>
struct ElementBits {
  RandomBits<T> of[kElements<T>];

  __device__ explicit ElementBits(const std::array<uint32_t, 4>& words) {
    for (int i = 0; i < kElements<T>; ++i) {
      if constexpr (sizeof(T) == 4) {
        of[i] = words[i];
      } else {
        of[i] = uint64_t{words[2 * i]} << 32 | words[2 * i + 1];
      }
    }
  }
};

/// In [0, 1): as many bits as the type's significand holds.
__device__ inline float unit(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}
__device__ inline double unit(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

/// The elements of one counter, which are 16 bytes.
template <typename T>
using Elements = Vector<T, kElements<T>>;

template <typename T>
__device__ void write(T* out, const Elements<T>& elements, int64_t left, bool aligned) {
  if (aligned) return store_up_to(out, elements, left);
  for (int i = 0; i < kElements<T> && i < left; ++i) out[i] = elements.of[i];
}

/// `largest` is the last number below the interval's upper end, to which the sum may round.
template <typename T>
__global__ void uniform(RandomStream random, T low, T width, T largest, T* out, int64_t count, bool aligned) {
  const int64_t counter = thread_number(), first = counter * kElements<T>;
  if (first >= count) return;
  const ElementBits<T> bits(random.words(counter));
  Elements<T> elements;
  for (int i = 0; i < kElements<T>; ++i) {
    const T value = low + width * unit(bits.of[i]);
    elements.of[i] = value < largest ? value : largest;
  }
  write(out + first, elements, count - first, aligned);
}

template <typename T>
__global__ void normal(RandomStream random, T mean, T deviation, T* out, int64_t count, bool aligned) {
  const int64_t counter = thread_number(), first = counter * kElements<T>;
  if (first >= count) return;
  const ElementBits<T> bits(random.words(counter));
  Elements<T> elements;
  for (int i = 0; i < kElements<T>; i += 2) {
    const NormalPair<T> pair = box_muller(bits.of[i], bits.of[i + 1], mean, deviation);
    elements.of[i] = pair.first;
    elements.of[i + 1] = pair.second;
  }
  write(out + first, elements, count - first, aligned);
}

__global__ void advance(uint32_t* counter, uint64_t by) {
  const uint64_t value = (uint64_t{counter[1]} << 32 | counter[0]) + by;
  counter[0] = static_cast<uint32_t>(value);
  counter[1] = static_cast<uint32_t>(value >> 32);
}

/// A thread for each counter of that many elements.
template <typename T>
simt::LaunchShape threads_for_counters(int64_t elements) {
  return threads_for((elements + kElements<T> - 1) / kElements<T>);
}

}  // namespace

template <>
void run_kernels(const call::Uniform& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T low = static_cast<T>(call.low), high = static_cast<T>(call.high);
    launch_kernel(call.name(), uniform<T>, threads_for_counters<T>(count), RandomStream(call.position), low,
                  static_cast<T>(call.high - call.low), std::nextafter(high, low), elements_of<T>(call.out),
                  count, is_aligned(call.out));
  });
}

template <>
void run_kernels(const call::Normal& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  dispatch_real(call.out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), normal<T>, threads_for_counters<T>(count), RandomStream(call.position),
                  static_cast<T>(call.mean), static_cast<T>(call.standard_deviation),
                  elements_of<T>(call.out), count, is_aligned(call.out));
  });
}

template <>
void run_kernels(const call::AdvanceCounter& call) {
  launch_kernel(call.name(), advance, {{1}, {1}}, elements_of<uint32_t>(call.counter), call.by);
}

}  // namespace haze::HAZE_KERNELS

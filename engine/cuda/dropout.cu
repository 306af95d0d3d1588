#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/dropout.h"

// A counter of the generator has four words, one for each of four elements. A thread has 16 bytes of
// elements, but no fewer than four.
namespace haze::HAZE_KERNELS {
namespace {

constexpr int kWords = 4;
template <typename T>
constexpr int kElements = kWidest<T> < kWords ? kWords : kWidest<T>;

template <int kWidth, typename T>
__global__ void dropout(const T* x, RandomStream random, uint32_t threshold, Wide<T> scale, T* out,
                        StridedIndex<1> index, int64_t count) {
  const int64_t first = thread_number() * kElements<T>;
  if (first >= count) return;
  uint32_t words[kElements<T>];
#pragma unroll
  for (int i = 0; i < kElements<T>; i += kWords) {
    const std::array<uint32_t, kWords> four = random.words((first + i) / kWords);
#pragma unroll
    for (int k = 0; k < kWords; ++k) words[i + k] = four[static_cast<size_t>(k)];
  }
#pragma unroll
  for (int i = 0; i < kElements<T>; i += kWidth) {
    const int64_t left = count - first - i;
    if (left <= 0) break;
    Vector<T, kWidth> v = read<kWidth>(x, index, 0, first + i, left);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      v.of[k] = T(words[i + k] >= threshold ? Wide<T>(v.of[k]) * scale : Wide<T>(0));
    }
    store_up_to(out + first + i, v, left);
  }
}

}  // namespace

template <>
void run_kernels(const call::Dropout& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const auto threshold = static_cast<uint32_t>(call.probability * 0x1p32);  // below 2^32
  const Tensor* const operands[] = {&call.x};
  const StridedIndex<1> index(call.out.shape(), operands);
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    with_width_for<T>(index, operands, call.out, [&](auto width) {
      launch_kernel(call.name(), dropout<decltype(width)::value, T>, threads_for_vectors<kElements<T>>(count),
                    elements_of<const T>(call.x), RandomStream(call.position), threshold,
                    static_cast<Wide<T>>(1 / (1 - call.probability)), elements_of<T>(call.out), index, count);
    });
  });
}

}  // namespace haze::HAZE_KERNELS

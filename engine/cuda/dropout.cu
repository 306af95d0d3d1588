#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/dropout.h"

// A thread has one counter of the generator and four elements, one for each of its words.
namespace haze::HAZE_KERNELS {
namespace {

constexpr int64_t kWords = 4;

template <typename T>
__global__ void dropout(const T* x, RandomStream random, uint32_t threshold, Wide<T> scale, T* out,
                        StridedIndex<1> index, int64_t count) {
  const int64_t counter = thread_number(), first = counter * kWords;
  if (first >= count) return;
  const std::array<uint32_t, 4> words = random.words(counter);
  for (int64_t k = 0; k < kWords && first + k < count; ++k) {
    const int64_t i = first + k;
    const bool kept = words[static_cast<size_t>(k)] >= threshold;
    out[i] = T(kept ? Wide<T>(x[index.offset(0, i)]) * scale : Wide<T>(0));
  }
}

}  // namespace

template <>
void run_kernels(const call::Dropout& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const auto threshold = static_cast<uint32_t>(call.probability * 0x1p32);  // below 2^32
  const StridedIndex<1> index(call.out.shape(), {&call.x});
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), dropout<T>, threads_for((count + kWords - 1) / kWords),
                    elements_of<const T>(call.x), RandomStream(call.position), threshold,
                    static_cast<Wide<T>>(1 / (1 - call.probability)), elements_of<T>(call.out), index, count);
    }
  });
}

}  // namespace haze::HAZE_KERNELS

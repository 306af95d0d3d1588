#include "haze/engine/cuda/attention_pairs.h"
#include "haze/engine/cuda/ladder/attention_gradient.h"
#include "haze/engine/cuda/ladder/attention_tensor_cores.h"

// Attention and its gradient by tiles, with every mask. The kernels are those of the ladder
// (ladder/attention.h, ladder/attention_gradient.h); attention_pairs.h tells them which keys a query sees.
namespace haze::HAZE_KERNELS {
namespace {

/// The head sizes that are compiled, from kLeast on. With the largest, sums fit in registers and two blocks
/// in a multiprocessor. A block finds a part of a head that is larger, and adds up scores from parts, too.
constexpr unsigned kLeast = 16;
template <typename T>
constexpr unsigned kMost = sizeof(Wide<T>) == 4 ? 128 : 64;
template <typename T>
constexpr unsigned kMostOfGradient = kMost<T> / 2;

simt::LaunchShape tiles(int64_t blocks, size_t shared_bytes) {
  return {{static_cast<unsigned>(blocks)}, {kTileX, kTileY}, shared_bytes};
}

/// Whether rows can be copied by vectors of 16 bytes, and heads are not too large.
bool fits_tensor_cores(const call::Attention& call) {
  const auto vectors = [](const Tensor& x) { return head_rows<const bfloat16>(x).vectors; };
  return call.query.size(3) % 8 == 0 && call.query.size(3) <= 128 && vectors(call.query) &&
         vectors(call.key) && vectors(call.value) && vectors(call.out.output);
}

/// Weights are the sums of three bfloat16, so nothing of their float32 is lost.
void attend_with_tensor_cores(const call::Attention& call, const Storage& sequences) {
  with_head_size<32, 128>(call.query.size(3), [&](auto head_size) {
    constexpr unsigned kSize = head_size;
    const MaskedAttention<bfloat16> attention(call, sequences, kSize);
    launch_kernel(call.name(), attend_by_tensor_cores<kSize, 3, MaskedAttention<bfloat16>>,
                  {{static_cast<unsigned>(attention.blocks_of_queries())},
                   {kTensorThreads},
                   kBytesOfTensorCores<kSize>},
                  attention, head_rows<bfloat16>(call.out.output), elements_of<float>(call.out.row_max),
                  elements_of<float>(call.out.row_sum));
  });
}

}  // namespace

template <>
void run_kernels(const call::Attention& call) {
  const Storage sequences = sequences_on_device(call.name(), call);
  if (call.query.elements() == 0) return;
  if (call.query.dtype() == Dtype::bfloat16 && fits_tensor_cores(call))
    return attend_with_tensor_cores(call, sequences);
  dispatch_floating(call.query.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using W = Wide<T>;
    with_head_size<kLeast, kMost<T>>(call.query.size(3), [&](auto head_size) {
      constexpr unsigned kSize = head_size;
      const MaskedAttention<T> attention(call, sequences, kSize);
      launch_kernel(call.name(), attend_by_tiles<kSize, MaskedAttention<T>>,
                    tiles(attention.blocks_of_queries(), kBytesOfAttend<W, kSize>), attention,
                    head_rows<T>(call.out.output), elements_of<W>(call.out.row_max),
                    elements_of<W>(call.out.row_sum));
    });
  });
}

template <>
void run_kernels(const call::AttentionGradient& call) {
  const call::Attention& forward = call.forward;
  const Storage sequences = sequences_on_device(call.name(), forward);
  const Tensor delta(forward.out.row_sum.shape(), forward.out.row_sum.dtype(), call.g.device());
  dispatch_floating(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using W = Wide<T>;
    const SavedAttention<T> saved{head_rows<const T>(call.g), head_rows<const T>(forward.out.output),
                                  elements_of<const W>(forward.out.row_max),
                                  elements_of<const W>(forward.out.row_sum), elements_of<W>(delta)};
    if (delta.elements() > 0) {
      launch_kernel(call.name(), find_deltas<T>, threads_for(delta.elements() * kWarp), saved,
                    delta.elements(), delta.size(2), delta.size(1), call.g.size(3));
    }
    with_head_size<kLeast, kMostOfGradient<T>>(call.g.size(3), [&](auto head_size) {
      constexpr unsigned kSize = head_size;
      const MaskedAttention<T> attention(forward, sequences, kSize);
      if (call.out.query.elements() > 0) {
        launch_kernel(call.name(), query_gradient<kSize, MaskedAttention<T>>,
                      tiles(attention.blocks_of_queries(), kBytesOfQueryGradient<W, kSize>), attention, saved,
                      head_rows<T>(call.out.query));
      }
      if (call.out.key.elements() > 0) {
        launch_kernel(call.name(), key_gradient<kSize, MaskedAttention<T>>,
                      tiles(attention.blocks_of_keys(), kBytesOfKeyGradient<W, kSize>), attention, saved,
                      head_rows<T>(call.out.key), head_rows<T>(call.out.value));
      }
    });
  });
}

}  // namespace haze::HAZE_KERNELS

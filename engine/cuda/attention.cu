#include "haze/engine/cuda/attention_pairs.h"
#include "haze/engine/cuda/ladder/attention_gradient.h"

// Attention and its gradient by tiles, with every mask. The kernels are those of the ladder
// (ladder/attention.h, ladder/attention_gradient.h); attention_pairs.h tells them which keys a query sees.
namespace haze::HAZE_KERNELS {
namespace {

template <unsigned kSize>
using HeadSize = std::integral_constant<unsigned, kSize>;

/// Calls f with the smallest of the compiled head sizes that is at least `size`. The largest, `kMost`, stands
/// for all beyond: a block then finds a part of a head, and adds up scores from parts, too.
template <unsigned kMost, typename F>
void with_head_size(int64_t size, F&& f) {
  if (size <= 16) return f(HeadSize<16>());
  if (size <= 32) return f(HeadSize<32>());
  if constexpr (kMost > 64) {
    if (size > 64) return f(HeadSize<kMost>());
  }
  f(HeadSize<64>());
}
/// So that the sums of a thread fit in its registers. Those for keys and for values are twice as many.
template <typename T>
constexpr unsigned kMostOfQueries = sizeof(Wide<T>) == 4 ? 128 : 64;
constexpr unsigned kMostOfKeys = 64;

template <typename F>
void dispatch_floating(Dtype dtype, F&& f) {
  dispatch(dtype, [&](auto tag) {
    if constexpr (!std::is_integral_v<decltype(tag)>) f(tag);
  });
}

simt::LaunchShape tiles(int64_t blocks, size_t shared_bytes) {
  return {{static_cast<unsigned>(blocks)}, {kTileX, kTileY}, shared_bytes};
}

}  // namespace

template <>
void run_kernels(const call::Attention& call) {
  const Storage sequences = sequences_on_device(call.name(), call);
  if (call.query.elements() == 0) return;
  dispatch_floating(call.query.dtype(), [&](auto tag) {
    using T = decltype(tag);
    using W = Wide<T>;
    with_head_size<kMostOfQueries<T>>(call.query.size(3), [&](auto head_size) {
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
    if (call.out.query.elements() > 0) {
      with_head_size<kMostOfQueries<T>>(call.g.size(3), [&](auto head_size) {
        constexpr unsigned kSize = head_size;
        const MaskedAttention<T> attention(forward, sequences, kSize);
        launch_kernel(call.name(), query_gradient<kSize, MaskedAttention<T>>,
                      tiles(attention.blocks_of_queries(), kBytesOfQueryGradient<W, kSize>), attention, saved,
                      head_rows<T>(call.out.query));
      });
    }
    if (call.out.key.elements() > 0) {
      with_head_size<kMostOfKeys>(call.g.size(3), [&](auto head_size) {
        constexpr unsigned kSize = head_size;
        const MaskedAttention<T> attention(forward, sequences, kSize);
        launch_kernel(call.name(), key_gradient<kSize, MaskedAttention<T>>,
                      tiles(attention.blocks_of_keys(), kBytesOfKeyGradient<W, kSize>), attention, saved,
                      head_rows<T>(call.out.key), head_rows<T>(call.out.value));
      });
    }
  });
}

}  // namespace haze::HAZE_KERNELS

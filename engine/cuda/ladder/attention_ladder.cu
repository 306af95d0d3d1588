#include "haze/engine/cuda/ladder/attention_gradient.h"
#include "haze/engine/cuda/ladder/attention_tensor_cores.h"
#include "haze/engine/cuda/ladder/ladder.h"

namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

/// x [heads, length, size]: a batch whose entries have a head each.
template <typename T>
HeadRows<T> rows_of(const Tensor& x) {
  return {x, x.stride(0), x.stride(1), 0};
}

template <typename T>
PlainAttention<T> plain_attention(const ladder::Attention& call) {
  return {.query = rows_of<const T>(call.query),
          .key = rows_of<const T>(call.key),
          .value = rows_of<const T>(call.value),
          .length = call.query.size(1),
          .size = call.query.size(2),
          .scale = call.scale,
          .score_scale = call.scale,
          .causal = call.causal};
}

template <typename T>
simt::LaunchShape tiles_of(const ladder::Attention& call, simt::Extent threads, size_t shared_bytes) {
  const int64_t tiles = call.query.size(0) * blocks_of(call.query.size(1), kTileRows<Wide<T>>);
  return {{static_cast<unsigned>(tiles)}, threads, shared_bytes};
}

template <typename T>
void run_stored_scores(const ladder::Attention& call) {
  const int64_t heads = call.query.size(0), length = call.query.size(1), size = call.query.size(2);
  const Tensor scores({heads, length, length}, Dtype::float32, call.query.device());
  const StoredScores<T> of{.query = elements_of<const T>(call.query),
                           .key = elements_of<const T>(call.key),
                           .value = elements_of<const T>(call.value),
                           .out = elements_of<T>(call.out),
                           .scores = elements_of<float>(scores),
                           .heads = heads,
                           .length = length,
                           .size = size,
                           .scale = call.scale,
                           .causal = call.causal};
  launch_kernel(call.name(), find_scores<T>, threads_for(heads * length * length, kThreads), of);
  launch_kernel(call.name(), scores_to_weights<T>, threads_for(heads * length * kWarp, kThreads), of);
  launch_kernel(call.name(), weigh_values<T>, threads_for(heads * length * size, kThreads), of);
}

}  // namespace

template <>
void run_kernels(const ladder::Attention& call) {
  if (!ladder::Attention::takes(call.rung, call.query.dtype())) {
    fail("{}: there is no kernel for {}", call.name(), name(call.query.dtype()));
  }
  if (call.query.elements() == 0) return;
  const int64_t size = call.query.size(2);
  if (size > 128) fail("{}: a head size of {} is more than 128", call.name(), size);
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    if (call.rung == 0) return run_stored_scores<T>(call);
    with_head_size<16, 128>(size, [&](auto head_size) {
      constexpr unsigned kSize = head_size;
      launch_kernel(call.name(), attend_by_tiles<kSize, PlainAttention<T>>,
                    tiles_of<T>(call, {kTileX, kTileY}, kBytesOfAttend<float, kSize>),
                    plain_attention<T>(call), rows_of<T>(call.out), elements_of<float>(call.max),
                    elements_of<float>(call.sum));
    });
  };
  if (call.query.dtype() == Dtype::float32) return run(float());
  if (call.rung < 2) return run(bfloat16());
  if (size % 8 != 0) fail("{}: rows of {} bfloat16 are no multiples of 16 bytes", call.name(), size);
  with_head_size<32, 128>(size, [&](auto head_size) {
    constexpr unsigned kSize = head_size;
    launch_kernel(call.name(), attend_by_tensor_cores<kSize, 1, PlainAttention<bfloat16>>,
                  tiles_of<bfloat16>(call, {kTensorThreads}, kBytesOfTensorCores<kSize>),
                  plain_attention<bfloat16>(call), rows_of<bfloat16>(call.out), elements_of<float>(call.max),
                  elements_of<float>(call.sum));
  });
}

template <>
void run_kernels(const ladder::AttentionGradient& call) {
  const ladder::Attention& forward = call.forward;
  if (forward.query.elements() == 0) return;
  const int64_t heads = forward.query.size(0), length = forward.query.size(1), size = forward.query.size(2);
  const Tensor delta({heads, length}, Dtype::float32, call.g.device());
  const auto run = [&](auto tag) {
    using T = decltype(tag);
    const SavedAttention<T> saved{rows_of<const T>(call.g), rows_of<const T>(forward.out),
                                  elements_of<const float>(forward.max),
                                  elements_of<const float>(forward.sum), elements_of<float>(delta)};
    launch_kernel(call.name(), find_deltas<T>, threads_for(heads * length * kWarp, kThreads), saved,
                  heads * length, length, int64_t{1}, size);
    PlainAttention<T> attention = plain_attention<T>(forward);
    with_head_size<16, 64>(size, [&](auto head_size) {
      constexpr unsigned kSize = head_size;
      attention.chunks = blocks_of(size, kSize);
      const auto tiles = [&](size_t shared_bytes) {
        simt::LaunchShape shape = tiles_of<T>(forward, {kTileX, kTileY}, shared_bytes);
        shape.grid.x *= static_cast<unsigned>(attention.chunks);
        return shape;
      };
      launch_kernel(call.name(), query_gradient<kSize, PlainAttention<T>>,
                    tiles(kBytesOfQueryGradient<float, kSize>), attention, saved, rows_of<T>(call.to_query));
      launch_kernel(call.name(), key_gradient<kSize, PlainAttention<T>>,
                    tiles(kBytesOfKeyGradient<float, kSize>), attention, saved, rows_of<T>(call.to_key),
                    rows_of<T>(call.to_value));
    });
  };
  call.g.dtype() == Dtype::float32 ? run(float()) : run(bfloat16());
}

}  // namespace haze::HAZE_KERNELS

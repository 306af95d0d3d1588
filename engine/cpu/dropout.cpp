#include "haze/engine/ops/dropout.h"

#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/cpu/simd/result_writer.h"
#include "haze/engine/cpu/simd/widen.h"
#include "haze/engine/cpu/strided.h"

namespace haze {
namespace {

// Calls body(from, at, words, count) for chunks: elements of x from `from`, of the result from `at`, and
// their random words.
template <typename Body>
void for_each_chunk(const call::Dropout& call, const StridedLayout<2>& layout, Body&& body) {
  for_each_run(layout, [&](const std::array<int64_t, 2>& offsets, int64_t run) {
    uint32_t words[kChunk];
    for (int64_t at = 0; at < run; at += kChunk) {
      const int64_t count = std::min(kChunk, run - at);
      // The result is dense, so an element's offset is its number in row-major order.
      random_words(call.position, offsets[1] + at, count, words);
      body(offsets[0] + at * layout.inner_stride(0), offsets[1] + at, words, count);
    }
  });
}

}  // namespace

void call::Dropout::run(Cpu) const {
  const auto threshold = static_cast<uint32_t>(probability * 0x1p32);  // below 2^32, as probability < 1
  const StridedLayout<2> layout(out.shape(), {&x, &out});
  const int64_t stride = layout.inner_stride(0);
  if (x.dtype() == Dtype::bfloat16) {
    const auto scale = static_cast<float>(1 / (1 - probability));
    const DropoutSpan<float> span = dropout_span<float>();
    const bfloat16* source = x.data<bfloat16>();
    bfloat16* target = out.data<bfloat16>();
    return for_each_chunk(*this, layout, [&](int64_t from, int64_t at, const uint32_t* words, int64_t count) {
      alignas(64) float buffer[kChunk];
      span(packed(source + from, stride, count, buffer), words, count, threshold, scale, buffer);
      widen_spans().narrow(buffer, target + at, count);
    });
  }
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T scale = static_cast<T>(1 / (1 - probability));
    const DropoutSpan<T> span = dropout_span<T>();
    const T* source = x.data<T>();
    T* result = out.data<T>();
    const ResultWriter<T> writer(out, {&x});
    for_each_chunk(*this, layout, [&](int64_t from, int64_t at, const uint32_t* words, int64_t count) {
      alignas(64) T buffer[kChunk];
      const T* values = packed(source + from, stride, count, buffer);
      writer.write_row(result + at, count,
                       [&](T* target) { span(values, words, count, threshold, scale, target); });
    });
  });
}

}  // namespace haze

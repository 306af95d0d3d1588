#include "haze/engine/ops/dropout.h"

#include "haze/engine/cpu/simd/random_spans.h"
#include "haze/engine/cpu/simd/result_writer.h"
#include "haze/engine/cpu/strided.h"

namespace haze {

void call::Dropout::run(Cpu) const {
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

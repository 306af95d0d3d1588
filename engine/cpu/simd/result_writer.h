#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <initializer_list>

#include "haze/engine/cpu/machine.h"
#include "haze/engine/cpu/simd/machine_spans.h"
#include "haze/engine/cpu/strided.h"

namespace haze {

/// Writes results to their tensor, by streaming stores if the result is larger than the last-level cache. An
/// ordinary store first reads the line that it overwrites: a quarter of all traffic of a sum of two tensors.
/// The line would leave the cache before it is read again.
template <typename T>
class ResultWriter {
  static_assert(sizeof(T) % sizeof(float) == 0);

 public:
  /// `out` must be written whole. If it is one of the operands, its lines are in the cache anyway.
  ResultWriter(const Tensor& out, std::initializer_list<const Tensor*> operands,
               int64_t cache_bytes = last_level_cache_bytes())
      : past_cache_(out.elements() * static_cast<int64_t>(sizeof(T)) > cache_bytes) {
    for (const Tensor* operand : operands) past_cache_ = past_cache_ && operand->raw() != out.raw();
  }

  /// Orders this thread's streaming stores before its next stores. Those of other threads were ordered at the
  /// end of their parallel region.
  ~ResultWriter() {
    if (past_cache_) std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  ResultWriter(const ResultWriter&) = delete;
  ResultWriter& operator=(const ResultWriter&) = delete;

  /// Calls produce(to, first, count) for chunks, so that elements [0, count) come to `target`.
  template <typename Produce>
  void write(T* target, int64_t count, Produce&& produce) const {
    if (!goes_past_cache(target)) return produce(target, 0, count);
    constexpr int64_t kBuffered = 256;  // little beside what the operands need of the first-level cache
    alignas(kAlign) T buffer[kBuffered];
    for (int64_t i = 0; i < count; i += kBuffered) {
      const int64_t n = std::min(kBuffered, count - i);
      produce(buffer, i, n);
      copy(buffer, target + i, n);
    }
  }

  /// As write(), for a row that is produced whole: produce(to).
  template <typename Produce>
  void write_row(T* target, int64_t count, Produce&& produce) const {
    constexpr int64_t kLongest = 4096;
    if (count > kLongest || !goes_past_cache(target)) return produce(target);
    alignas(kAlign) T buffer[kLongest];
    produce(buffer);
    copy(buffer, target, count);
  }

 private:
  static constexpr int64_t kAlign = 64;

  bool goes_past_cache(const T* target) const {
    return past_cache_ && reinterpret_cast<uintptr_t>(target) % kAlign == 0;
  }

  static void copy(const T* from, T* to, int64_t count) {
    constexpr int64_t kWhole = kAlign / static_cast<int64_t>(sizeof(T));
    const int64_t whole = count / kWhole * kWhole;
    machine_spans().copy_past_cache(reinterpret_cast<const float*>(from), reinterpret_cast<float*>(to),
                                    whole * static_cast<int64_t>(sizeof(T) / sizeof(float)));
    std::memcpy(to + whole, from + whole, static_cast<size_t>(count - whole) * sizeof(T));
  }

  bool past_cache_;
};

}  // namespace haze

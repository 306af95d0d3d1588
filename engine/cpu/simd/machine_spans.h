#pragma once

#include <cstdint>

/// Vector kernels that keep the processor or the memory busy, to measure the most they can do. Copying by
/// streaming stores also serves large results (result_writer.h).
namespace haze {

struct MachineSpans {
  /// `rounds` rounds of float32 multiply-adds that do not wait for one another; the result is of no interest.
  float (*multiply_adds)(int64_t rounds);
  int64_t operations_a_round;  // a multiply-add counts as two
  /// out = x; both aligned to a vector, count a multiple of its lanes.
  void (*copy)(const float* x, float* out, int64_t count);
  /// The same by streaming stores (also: non-temporal stores), which do not first read `out` into the cache.
  /// The next instruction that locks orders them for other threads; the end of a parallel region has one.
  void (*copy_past_cache)(const float* x, float* out, int64_t count);
};

/// The best version for this processor.
const MachineSpans& machine_spans();

}  // namespace haze

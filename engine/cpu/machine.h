#pragma once

#include <cstdint>

namespace haze {

/// Bytes of the largest cache, which the cores share, as far as the system says; otherwise 32 MiB.
int64_t last_level_cache_bytes();
/// Bytes of a core's second-level cache, as far as the system says; otherwise 256 KiB.
int64_t second_level_cache_bytes();

/// Whether the instruction set in use multiplies bfloat16 in hardware (AMX or AVX-512 BF16). Otherwise
/// products in bfloat16 are those of rounded float32 numbers, and no faster.
bool multiplies_bfloat16();

/// The limits of the processor, measured on all of the engine's threads at once. A kernel is compared with
/// them: no product is faster than fma_gflops, and nothing that comes from memory faster than copy_gbytes
/// (Williams et al. 2009, the roofline).
struct MachineLimits {
  int threads = 0;
  double fma_gflops = 0;  // 10^9 float32 operations a second; a multiply-add counts as two
  double bfloat16_gflops =
      0;  // likewise of products of bfloat16; fma_gflops where multiplies_bfloat16() is false
  double copy_gbytes = 0;  // 10^9 bytes a second, read and written ones counted, in arrays of 128 MiB
  double l1_gbytes = 0;    // likewise in arrays of 8 KiB a thread, which stay in the first-level cache
  int64_t l2_bytes = 0;    // of a core's second-level cache
  double l2_gbytes = 0;    // likewise of 128 KiB a thread, in the second-level cache
};

/// Takes about half a second, and 256 MiB while it runs. Each figure is that of the fastest of several
/// passes, so that a pass which something else disturbed does not count.
MachineLimits measure_machine_limits();

}  // namespace haze

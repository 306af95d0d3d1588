#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "haze/bench/timer.h"
#include "haze/tools/run/comparison.h"

/// The ladder of the matrix product: from three loops to the engine's kernel, each rung one idea faster than
/// the one below it. The chapter beside it is engine/cpu/README.md.
namespace haze {

/// Multiplies a tile of the result out of packed operands: c [rows, columns], its rows `stride` apart, is
/// increased by a b, where a is packed as [K, rows] and b as [K, columns].
struct LadderTile {
  int64_t rows, columns;
  void (*multiply)(const float* a, const float* b, int64_t k_count, float* c, int64_t stride);
};

/// The tile in vector registers, for this processor.
LadderTile vector_tile();

/// Times the rungs in whose "title name" the regular expression is found, in 10^9 operations a second of
/// float32; a rung's peer is the rung below, its peak that of as many threads as it uses. `progress` is
/// called with each title before it is measured. Throws Error where a product is not float64's but for
/// rounding, and where no row has such a name.
std::vector<ComparisonGroup> compare_ladder(const std::string& filter, const TimerOptions& timer,
                                            const std::function<void(const std::string&)>& progress);

}  // namespace haze

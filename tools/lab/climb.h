#pragma once

#include <optional>
#include <string>
#include <vector>

#include "haze/engine/simt/counters.h"
#include "haze/tools/lab/compiled_kernels.h"
#include "haze/tools/lab/ladders.h"

/// Runs the rungs of a ladder on the emulated GPU, and says what a real one would need for them.
namespace haze {

/// Seconds that a GPU needs at least for a kernel's work, if nothing else held it up: for each of its parts,
/// the work over the rate of its data sheet. Nothing here was measured on a GPU. The parts:
/// - memory: the operands' bytes, each moved once. What is read again comes from a cache;
/// - cache: the counted sectors, all from the second-level cache. The first-level cache catches nothing,
/// which
///   for kernels that read the same address again soon is too pessimistic. A multiprocessor takes 64 bytes a
///   clock;
/// - shared: the counted passes over the banks of shared memory, one a clock on each multiprocessor;
/// - arithmetic: the operations at the peak of their units.
/// A launch of fewer blocks than there are multiprocessors leaves the others idle.
struct TimeBound {
  double memory = 0, cache = 0, shared = 0, arithmetic = 0;
  double ideal = 0;  // for the operands, each moved once, and the operations, on the whole GPU

  double seconds() const;
  /// The part that takes longest.
  const char* limit() const;
  /// ideal / seconds(): 1 where no kernel can have a lower bound.
  double share_of_limit() const { return ideal / seconds(); }
};

/// A launch that a rung makes.
struct KernelReport {
  std::string name;
  BlockNeeds needs;
  uint64_t blocks = 0;
  std::optional<CompiledKernel> compiled;  // where the table has it
  double occupancy = 0;                    // only where it is compiled
};

/// Counts are of the whole launch, by those of the sampled blocks.
struct RungReport {
  ladder::Rung rung;
  std::optional<bool> right;  // the fast kernel's result is the cpu's; empty where they are not compared
  double largest_error = 0;   // of an element, as a share of the largest one
  double read_sectors = 0, written_sectors = 0;  // of a request
  double conflicts = 0;                          // of a request of shared memory
  double moved_bytes = 0, needed_bytes = 0, flops = 0;
  KernelReport kernel;  // of the launches, that which moves most
  TimeBound bound;
  std::vector<simt::LaunchCounts> launches;
};

struct ClimbOptions {
  int64_t size = 0;
  uint64_t blocks = 4;  // of a launch, to be counted; 0: all
  bool compare = true;  // with the cpu, which for large sizes takes long
  const CompiledKernels* compiled = nullptr;
};

/// Runs the rung's fast kernels and compares the result with the cpu's, unless options say otherwise; then
/// runs checked kernels and counts.
/// Throws Error where the checker finds a fault.
RungReport climb(const Ladder& ladder, unsigned rung, const Gpu& gpu, const ClimbOptions& options);

/// A rung's time on a device: the mean of as many launches, one after another, as take a tenth of a second.
struct TimedRung {
  ladder::Rung rung;
  bool right = false;  // as in RungReport
  double seconds = 0;
  double flops = 0, bytes = 0;  // as in Problem
};
TimedRung time_rung(const Ladder& ladder, unsigned rung, int64_t size, Device device);
/// Throws Error where the library is not found.
TimedRung time_peer(const Ladder::Peer& peer, int64_t size, Device device);

/// What warp 0 of block 0 does in each launch of a rung.
struct FollowedRung {
  std::vector<Problem::Operand> operands;
  std::vector<simt::LaunchCounts> launches;
};
FollowedRung follow(const Ladder& ladder, unsigned rung, int64_t size);

}  // namespace haze

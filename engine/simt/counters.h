#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "haze/engine/simt/launch.h"

namespace haze::simt {

/// What the memory of a GPU would do for a line of a kernel. A *request* is what the lanes of a warp do
/// together: the k-th execution, by each of them, of one access in the source since the last barrier.
struct LineCount {
  std::string line;  // "file:line in function"
  bool in_shared = false, writes = false;
  uint64_t requests = 0;
  uint64_t bytes = 0;      // that the lanes asked for
  uint64_t sectors = 0;    // of 32 bytes of global memory that have to be moved; caches are not emulated
  uint64_t conflicts = 0;  // passes over the 32 banks of shared memory beyond those that the bytes need

  void add(const LineCount& other);
};

/// Of one launch of a checked kernel.
struct LaunchCounts {
  std::string kernel;
  LaunchShape shape;
  std::vector<LineCount> lines;  // in the order of their names

  LineCount total(bool in_shared, bool writes) const;
};

/// The counts of the last launch that ran with counting on. Counting is off at first: it takes time and
/// memory.
const LaunchCounts& last_counts();
void set_counting(bool on);

/// An access of one lane.
struct LaneAccess {
  uintptr_t address;
  size_t bytes;  // 0 to 16; 0: the lane takes part without an access
  bool in_shared, writes;
};

/// Collects the accesses of a launch.
class Counters {
 public:
  Counters(const char* kernel, const LaunchShape& shape);
  ~Counters();

  void begin_block(size_t threads);
  void record(const LaneAccess& access, unsigned thread, uint32_t pc);
  /// A barrier of a warp, or of all of them.
  void end_interval(unsigned warp);
  void end_interval();

 private:
  struct Request {
    uint32_t lanes = 0;
    size_t bytes = 0;
    std::array<uintptr_t, kWarp> addresses{};
  };
  /// Of one access in the source, by one warp.
  struct Trace {
    std::array<uint32_t, kWarp> executions{};
    std::vector<Request> requests;
    bool in_shared = false, writes = false;
  };

  static uint64_t sectors(const Request& request);
  static uint64_t conflicts(const Request& request);

  const bool on_;
  std::string kernel_;
  LaunchShape shape_;
  /// Of an access in the source. One of copy_async reads global memory, and writes to shared memory.
  static uint64_t key_of(uint32_t pc, bool in_shared) { return uint64_t{pc} << 1 | in_shared; }

  std::vector<std::unordered_map<uint64_t, Trace>> warps_;
  std::unordered_map<uint64_t, LineCount> counts_;
};

}  // namespace haze::simt

#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <string>
#include <unordered_map>
#include <vector>

#include "haze/engine/simt/calls.h"
#include "haze/engine/simt/launch.h"

namespace haze::simt {

/// A request of a warp's lanes together: the k-th execution, by each of them, of one access in the source
/// since the last barrier.
struct Request {
  uint32_t lanes = 0;  // a bit for each that takes part
  size_t bytes = 0;    // of each of them
  std::array<uintptr_t, kWarp> addresses{};
};

/// Sectors of 32 bytes of global memory that have to be moved for a request.
uint64_t sectors_of(const Request& request);
/// Shared memory serves up to 4 bytes a lane in one pass over its 32 banks, 8 bytes in two, 16 bytes in four.
/// A lane that needs another word of the same bank takes a pass more: a conflict.
struct BankPasses {
  uint64_t passes = 0, conflicts = 0;  // all; those beyond what the bytes need
};
BankPasses bank_passes_of(const Request& request);

/// The work of a GPU's memory for a line of a kernel.
struct LineCount {
  std::string line;                        // "file:line in function"
  bool in_shared = false, writes = false;  // atomic accesses count as writes
  uint64_t requests = 0;
  uint64_t bytes = 0;                  // that the lanes asked for
  uint64_t sectors = 0;                // of global memory; caches are not emulated
  uint64_t passes = 0, conflicts = 0;  // of shared memory
  Request worst = {};                  // the first of those with most sectors or passes
  uint64_t worst_units = 0;            // these sectors or passes

  void add(const LineCount& other);
};

/// The next act of a warp: an access, or waiting for others.
struct WarpStep {
  std::string line;            // "file:line in function" of an access, "file:line" of what orders threads
  std::string what;            // "read", "write", "__syncthreads", ...
  bool in_shared = false;      // of an access, as the rest
  std::string memory;          // name of the allocation
  uintptr_t memory_begin = 0;  // its address
  Request request = {};
};

/// Of one launch of a checked kernel.
struct LaunchCounts {
  std::string kernel;
  std::string function;  // its name and the types of its parameters, by the symbols of the executable
  LaunchShape shape;
  uint64_t blocks = 0;           // that ran (set_sampled_blocks()): the counts are of these alone
  std::vector<LineCount> lines;  // in the order of their names
  std::vector<WarpStep>
      followed;  // where a warp is followed: its steps in the order of the source's execution

  LineCount total(bool in_shared, bool writes) const;
  /// Blocks of the grid for each of those that ran: what counts are to be multiplied with.
  double scale() const;
};

/// The counts of the launches since counting was last turned on, and of the last one; throws Error where
/// there was none. Counting is off at first: it takes time and memory.
const std::vector<LaunchCounts>& counted_launches();
const LaunchCounts& last_counts();
void set_counting(bool on);
/// With counting on, the counts also have the steps of warp 0 of block 0. Lanes that go different ways appear
/// one after the other.
void set_following(bool on);

/// An access of one lane.
struct LaneAccess {
  uintptr_t address;
  size_t bytes;  // 0 to 16; 0: the lane takes part without an access
  bool in_shared, writes;
  uintptr_t memory_begin;  // of the allocation
};

/// Collects the accesses of a launch.
class Counters {
 public:
  Counters(const Kernel& kernel, const LaunchShape& shape);
  ~Counters();

  void begin_block(uint64_t number, size_t threads);
  void record(const LaneAccess& access, const std::string& memory, unsigned thread, uint32_t pc);
  /// A warp, or all of them, meet: a barrier, a shuffle, a vote. An interval ends where that orders memory.
  void meet(Collective what, unsigned warp, std::source_location at);
  void end_interval(unsigned warp);
  void end_interval();

 private:
  struct TracedRequest : Request {
    uint64_t order = 0;  // among the accesses of the launch
    uintptr_t memory_begin = 0;
    std::string memory = {};  // where the warp is followed
  };
  /// Of one access in the source, by one warp.
  struct Trace {
    std::array<uint32_t, kWarp> executions{};
    std::vector<TracedRequest> requests;
    bool in_shared = false, writes = false;
  };

  void follow(const std::unordered_map<uint64_t, Trace>& warp);
  bool follows(unsigned warp) const;

  const bool on_;
  LaunchCounts result_;
  const void* const function_;
  uint64_t block_ = 0, order_ = 0;
  /// Of an access in the source. One of copy_async reads global memory, and writes to shared memory.
  static uint64_t key_of(uint32_t pc, bool in_shared) { return uint64_t{pc} << 1 | in_shared; }
  static uint32_t pc_of(uint64_t key) { return static_cast<uint32_t>(key >> 1); }

  std::vector<std::unordered_map<uint64_t, Trace>> warps_;
  std::unordered_map<uint64_t, LineCount> counts_;
};

}  // namespace haze::simt

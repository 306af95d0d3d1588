#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <source_location>
#include <string>
#include <unordered_map>
#include <vector>

#include "haze/engine/simt/async_copies.h"
#include "haze/engine/simt/block.h"
#include "haze/engine/simt/counters.h"
#include "haze/engine/simt/memory.h"

/// Watches every access to global and shared memory while a checked kernel runs.
///
/// Two accesses of one element by two threads, of which one at least writes, are a *race* unless one *happens
/// before* the other (Lamport 1978). Within a thread, its order is that. Between threads only some events
/// make an order: the barriers of a block and of a warp, a fence with an atomic, and the order of launches.
/// Shuffles, votes and atomics by themselves make none.
///
/// Time is one counter that moves at every such event. A thread marks its accesses with the time at which its
/// current interval began, its *stamp*. Of each other thread it need only know up to which stamp it has been
/// told:
///
///   floor         of all threads of its block, by the last barrier of the block
///   lanes[i]      of lane i of its warp, by barriers of the warp
///   acquired[x]   of thread or block x, by fences and atomics
namespace haze::simt {

/// Up to which stamp a thread, or a whole block, is known.
using Clock = std::map<uint64_t, uint32_t>;

enum class AccessKind : uint8_t { read, write, atomic };

class Checker {
 public:
  Checker(const Kernel& kernel, const LaunchShape& shape);
  ~Checker();
  Checker(const Checker&) = delete;
  Checker& operator=(const Checker&) = delete;

  /// That of the launch that runs; null where none does, or while the emulator itself works.
  static Checker* watching();

  void begin_block(Block& block);
  void end_block();
  void watch(bool on);
  void* allocate_shared(const char* name, size_t bytes);

  void block_barrier(Collective what, std::source_location at);
  void warp_barrier(Collective what, unsigned warp, uint32_t mask, std::source_location at);
  /// An access by the running thread. `return_address` is that of the hook.
  void access(const void* address, size_t bytes, AccessKind kind, const void* return_address);
  /// The same, not counted.
  void check(const void* address, size_t bytes, AccessKind kind, uint32_t pc);
  void fence();
  /// An atomic access has been made at the address.
  void meet(const void* address);
  /// As those of calls.h. Until its thread has waited for a copy, nobody may touch its target.
  void copy_async(void* shared, const void* global, unsigned bytes, unsigned valid,
                  const void* return_address);
  void copy_async_commit();
  void copy_async_wait(unsigned groups);

 private:
  /// The knowledge that a thread of the block has of the others.
  struct Knowledge {
    uint32_t stamp = 0, floor = 0;
    std::array<uint32_t, kWarp> lanes{};
    Clock acquired;  // by a fence after an atomic
    Clock pending;   // read by atomics since the last fence
    Clock released;  // by the last fence: what an atomic passes on
  };

  Access access_by_current(uint32_t pc) const;
  Region* region_of(const void* address, size_t bytes, AccessKind kind, uint32_t pc);
  uint32_t id_of(const Thread& thread) const;
  bool happened_before(const Access& access, bool in_shared) const;
  void keep(Access (&kept)[2], const Access& access, bool in_shared) const;
  void check_cell(Cell& cell, const Access& mine, AccessKind kind, bool in_shared, const Region& region,
                  uintptr_t address);
  void count(const void* pointer, size_t bytes, bool in_shared, bool writes, uint32_t pc);
  [[noreturn]] void fail_at(std::string what, uintptr_t address, const Region& region, uint32_t pc);

  Block* block_ = nullptr;
  Arena shared_;
  std::vector<Knowledge> known_;
  std::vector<AsyncCopies> copies_;  // of each thread
  uint32_t now_, launch_start_, block_start_ = 0;
  std::unordered_map<uintptr_t, Clock> published_;  // by atomics on an address
  Counters counters_;
};

/// The memory of the emulated device, for fast and checked kernels. Throws Error where none is left.
void* allocate_device(std::string name, size_t bytes);
void free_device(void* memory);
/// The host has written there.
void mark_initialised(const void* memory, size_t bytes);
/// Everything in the device's memory now counts as initialised, such as the results of fast kernels.
void trust_device_memory();

/// Barriers and fences of checked kernels have a name, "file:line". One may be left out, to see whether the
/// checker notices (a *mutation*). An empty name leaves out none.
void leave_out(std::string barrier);
/// Those that have been met since the start or the last clear_barriers().
const std::set<std::string>& barriers_met();
void clear_barriers();
/// Notes the barrier, and says whether it is left out.
bool is_left_out(std::source_location at);

}  // namespace haze::simt

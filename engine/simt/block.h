#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <source_location>
#include <string>
#include <vector>

#include "haze/engine/simt/calls.h"
#include "haze/engine/simt/fiber.h"
#include "haze/engine/simt/launch.h"

namespace haze::simt {

class Checker;

/// Whether it is of all threads of a block.
inline bool is_of_block(Collective what) {
  return what <= Collective::block_or;
}
/// The word of CUDA for it.
const char* name_of(Collective what);

/// Whether it takes all lanes of a warp, at the same line.
inline bool is_of_tensor_cores(Collective what) {
  return what >= Collective::ldmatrix;
}

/// A thread's part of a collective.
struct Arrival {
  Collective what = Collective::block_barrier;
  uint32_t mask = 0;  // lanes that take part; of those of a warp
  uint64_t value = 0;
  unsigned source = 0;  // of a shuffle
  std::source_location at = {};
};

/// A thread of the block that is being played.
struct Thread {
  enum class State : uint8_t { unstarted, ready, waiting, finished };

  unsigned index = 0;  // in its block
  Extent position;     // threadIdx
  State state = State::unstarted;
  Fiber* fiber = nullptr;
  Arrival arrival;      // where it is waiting
  uint64_t result = 0;  // of the collective

  unsigned lane() const { return index % kWarp; }
  unsigned warp() const { return index / kWarp; }
};

/// Plays the blocks of a launch one after the other on one thread of the system. Each thread of a block runs
/// on a fiber until it has to wait for others. A thread that never waits shares its fiber with the next one.
class Block {
 public:
  /// `checker` may be null; then threads run in their order.
  Block(const Kernel& kernel, const LaunchShape& shape, Checker* checker);

  /// Runs all threads of block `number`. Throws Error as run() of launch.h.
  void play(uint64_t number);

  /// The one that this thread of the system plays, null outside kernels, and the thread of it that runs.
  static Block* playing();
  Thread& current() { return *current_; }

  /// For the running thread: waits until all that take part have arrived.
  uint64_t collective(const Arrival& arrival);
  /// `bytes` bytes of the block's shared memory, the same for every call with this tag. Contents undefined.
  void* shared(const void* tag, const char* name, size_t bytes);
  void* dynamic_shared() const { return dynamic_; }
  /// For the running thread: ends the launch with this sentence.
  [[noreturn]] void fail_thread(std::string sentence);

  uint64_t number() const { return number_; }
  const Kernel& kernel() const { return kernel_; }
  std::vector<Thread>& threads() { return threads_; }

 private:
  struct SharedArray {
    const void* tag;
    void* data;
  };

  void start(uint64_t number);
  Thread* next();
  void run(Thread& thread);
  Thread* take_unstarted();
  void set_current(Thread& thread);
  void finish_threads();
  void complete_block();
  void complete_warp(unsigned warp, uint32_t mask);
  uint64_t result_of(const Thread& thread, uint64_t ballot);
  void use_tensor_cores(unsigned warp);
  void wake(Thread& thread);
  void* allocate_shared(const char* name, size_t bytes);
  [[noreturn]] void fail_stuck();

  const Kernel kernel_;
  const LaunchShape shape_;
  Checker* const checker_;
  std::mt19937_64 order_;

  uint64_t number_ = 0;
  std::vector<Thread> threads_;
  std::vector<Thread*> unstarted_;  // the next one last
  std::deque<Thread*> ready_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  Thread* current_ = nullptr;
  size_t finished_ = 0, at_barrier_ = 0;
  std::vector<uint32_t> arrived_;  // of each warp, the lanes that wait for others of it
  std::string fault_;

  std::unique_ptr<std::byte[]> shared_memory_;
  size_t shared_bytes_ = 0;
  std::vector<SharedArray> shared_arrays_;
  void* dynamic_ = nullptr;
};

}  // namespace haze::simt

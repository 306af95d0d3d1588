#include "haze/engine/simt/block.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/registers.h"

thread_local constinit haze::simt::Registers haze::simt::registers;

namespace haze::simt {
namespace {

thread_local constinit Block* playing_block = nullptr;

constexpr size_t kSharedAlignment = 128;

Extent position_of(uint64_t index, const Extent& extent) {
  return {static_cast<unsigned>(index % extent.x), static_cast<unsigned>(index / extent.x % extent.y),
          static_cast<unsigned>(index / extent.x / extent.y)};
}

}  // namespace

const char* name_of(Collective what) {
  switch (what) {
    case Collective::block_barrier:
      return "__syncthreads";
    case Collective::block_count:
      return "__syncthreads_count";
    case Collective::block_and:
      return "__syncthreads_and";
    case Collective::block_or:
      return "__syncthreads_or";
    case Collective::warp_barrier:
      return "__syncwarp";
    case Collective::shuffle:
      return "__shfl_sync";
    case Collective::ballot:
      return "__ballot_sync";
    case Collective::match_any:
      return "__match_any_sync";
    case Collective::ldmatrix:
      return "ldmatrix";
    case Collective::mma:
      return "mma";
  }
  return "?";
}

Block* Block::playing() {
  return playing_block;
}

Block::Block(const Kernel& kernel, const LaunchShape& shape, Checker* checker)
    : kernel_(kernel), shape_(shape), checker_(checker), order_(seed()), threads_(shape.block.count()) {
  for (size_t i = 0; i < threads_.size(); ++i) {
    threads_[i].index = static_cast<unsigned>(i);
    threads_[i].position = position_of(i, shape.block);
  }
  if (!checker_) shared_memory_ = std::make_unique<std::byte[]>(kMostSharedBytes + kSharedAlignment);
}

void Block::play(uint64_t number) {
  start(number);
  Block* const before = std::exchange(playing_block, this);
  while (finished_ < threads_.size() && fault_.empty()) {
    Thread* const thread = next();
    if (!thread) break;
    run(*thread);
  }
  playing_block = before;
  if (!fault_.empty()) throw Error(fault_);
  if (finished_ < threads_.size()) fail_stuck();
}

void Block::start(uint64_t number) {
  number_ = number;
  finished_ = at_barrier_ = 0;
  arrived_.assign((threads_.size() + kWarp - 1) / kWarp, 0);
  shared_bytes_ = 0;
  shared_arrays_.clear();
  registers.block_index = position_of(number, shape_.grid);
  registers.block_extent = shape_.block;
  registers.grid_extent = shape_.grid;
  if (checker_) checker_->begin_block(*this);
  dynamic_ = shape_.dynamic_shared_bytes > 0
                 ? allocate_shared("dynamic shared memory", shape_.dynamic_shared_bytes)
                 : nullptr;
  unstarted_.clear();
  for (size_t i = threads_.size(); i-- > 0;) {
    threads_[i].state = Thread::State::unstarted;
    threads_[i].fiber = nullptr;
    unstarted_.push_back(&threads_[i]);
  }
}

// The thread to run next: the first that has not begun or can go on, or, for a checked kernel, any of them.
// Null where all that are left wait.
Thread* Block::next() {
  const size_t choices = unstarted_.size() + ready_.size();
  if (choices == 0) return nullptr;
  const size_t choice = checker_ ? std::uniform_int_distribution<size_t>(0, choices - 1)(order_) : 0;
  if (choice < unstarted_.size()) {
    std::swap(unstarted_[unstarted_.size() - 1 - choice], unstarted_.back());
    return take_unstarted();
  }
  std::swap(ready_[choice - unstarted_.size()], ready_.front());
  Thread* const thread = ready_.front();
  ready_.pop_front();
  return thread;
}

Thread* Block::take_unstarted() {
  Thread* const thread = unstarted_.back();
  unstarted_.pop_back();
  return thread;
}

void Block::run(Thread& thread) {
  if (!thread.fiber) {
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>([this] { finish_threads(); }));
      idle_.push_back(fibers_.back().get());
    }
    thread.fiber = idle_.back();
    idle_.pop_back();
  }
  set_current(thread);
  if (checker_) checker_->watch(true);
  thread.fiber->resume();
  if (checker_) checker_->watch(false);
}

void Block::set_current(Thread& thread) {
  current_ = &thread;
  thread.state = Thread::State::ready;
  registers.thread_index = thread.position;
}

// The body of every fiber: runs the thread that it was given. A fast kernel goes on with threads that have
// not begun, without a switch.
void Block::finish_threads() {
  for (;;) {
    Fiber* const fiber = current_->fiber;
    for (;;) {
      kernel_.call(kernel_.arguments);
      current_->state = Thread::State::finished;
      ++finished_;
      if (checker_ || unstarted_.empty()) break;
      set_current(*take_unstarted());
      current_->fiber = fiber;
    }
    idle_.push_back(fiber);
    fiber->suspend();
  }
}

uint64_t Block::collective(const Arrival& arrival) {
  Thread& self = *current_;
  if (checker_) checker_->watch(false);
  self.arrival = arrival;
  self.state = Thread::State::waiting;
  if (is_of_block(arrival.what)) {
    if (++at_barrier_ == threads_.size()) complete_block();
  } else {
    complete_warp(self.warp(), arrival.mask);
  }
  self.fiber->suspend();
  if (checker_) checker_->watch(true);
  return self.result;
}

void Block::wake(Thread& thread) {
  thread.state = Thread::State::ready;
  ready_.push_back(&thread);
}

// All threads of the block have arrived at a barrier.
void Block::complete_block() {
  at_barrier_ = 0;
  const Arrival& first = threads_.front().arrival;
  uint64_t count = 0;
  for (const Thread& thread : threads_) {
    if (thread.arrival.what != first.what) {
      fail_thread(fmt::format("threads of a block wait in {} and in {}", name_of(first.what),
                              name_of(thread.arrival.what)));
    }
    count += thread.arrival.value != 0;
  }
  if (checker_) checker_->block_barrier(first.what, first.at);
  for (Thread& thread : threads_) {
    thread.result = first.what == Collective::block_and  ? count == threads_.size()
                    : first.what == Collective::block_or ? count > 0
                                                         : count;
    wake(thread);
  }
}

// Wakes the lanes of `mask` if all of them have arrived.
void Block::complete_warp(unsigned warp, uint32_t mask) {
  const size_t first = size_t{warp} * kWarp, lanes = std::min<size_t>(kWarp, threads_.size() - first);
  const Arrival& mine = current_->arrival;
  if (!(mask >> current_->lane() & 1)) {
    fail_thread(
        fmt::format("{}: the mask {:#x} leaves out the lane that calls it", name_of(mine.what), mask));
  }
  arrived_[warp] |= uint32_t{1} << current_->lane();
  const uint32_t expected = mask & ~uint32_t{0} >> (kWarp - lanes);
  if ((arrived_[warp] & expected) != expected) return;
  uint64_t ballot = 0;
  for (size_t i = 0; i < lanes; ++i) {
    if (!(expected >> i & 1)) continue;
    const Arrival& other = threads_[first + i].arrival;
    if (other.what != mine.what || other.mask != mask) {
      fail_thread(fmt::format("lanes of a warp wait in {} with mask {:#x} and in {} with mask {:#x}",
                              name_of(other.what), other.mask, name_of(mine.what), mask));
    }
    ballot |= uint64_t{other.value != 0} << i;
  }
  if (checker_) checker_->warp_barrier(mine.what, warp, mask, mine.at);
  if (is_of_tensor_cores(mine.what)) use_tensor_cores(warp);
  for (size_t i = 0; i < lanes; ++i) {
    if (!(expected >> i & 1)) continue;
    Thread& thread = threads_[first + i];
    thread.result = result_of(thread, ballot);
    wake(thread);
  }
  arrived_[warp] &= ~expected;
}

// Of a collective of a warp, for a thread that has taken part.
uint64_t Block::result_of(const Thread& thread, uint64_t ballot) {
  const Arrival& arrival = thread.arrival;
  const size_t first = size_t{thread.warp()} * kWarp,
               lanes = std::min<size_t>(kWarp, threads_.size() - first);
  const auto takes_part = [&](size_t i) { return i < lanes && (arrival.mask >> i & 1); };
  switch (arrival.what) {
    case Collective::shuffle:
      if (!takes_part(arrival.source)) {
        fail_thread(fmt::format("__shfl_sync: lane {} reads lane {}, which is not in the mask {:#x}",
                                thread.lane(), arrival.source, arrival.mask));
      }
      return threads_[first + arrival.source].arrival.value;
    case Collective::ballot:
      return ballot;
    case Collective::match_any: {
      uint64_t equal = 0;
      for (size_t i = 0; i < lanes; ++i) {
        equal |= uint64_t{takes_part(i) && threads_[first + i].arrival.value == arrival.value} << i;
      }
      return equal;
    }
    default:
      return 0;
  }
}

// All lanes of the warp have brought their parts of the matrices.
void Block::use_tensor_cores(unsigned warp) {
  const Thread* const lanes = &threads_[size_t{warp} * kWarp];
  const Arrival& mine = current_->arrival;
  if (threads_.size() - lanes->index < kWarp) {
    fail_thread(fmt::format("{} takes a warp of 32 lanes, this one has {}", name_of(mine.what),
                            threads_.size() - lanes->index));
  }
  const MatrixLoad* loads[kWarp];
  const MatrixProduct* products[kWarp];
  for (unsigned i = 0; i < kWarp; ++i) {
    const Arrival& other = lanes[i].arrival;
    if (other.at.line() != mine.at.line()) {
      fail_thread(fmt::format("lanes of a warp run {} at line {} and at line {}", name_of(mine.what),
                              other.at.line(), mine.at.line()));
    }
    loads[i] = reinterpret_cast<const MatrixLoad*>(other.value);
    products[i] = reinterpret_cast<const MatrixProduct*>(other.value);
  }
  if (mine.what == Collective::ldmatrix) {
    load_matrices(loads);
  } else {
    multiply_matrices(products);
  }
}

void* Block::allocate_shared(const char* name, size_t bytes) {
  const size_t first = (shared_bytes_ + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
  shared_bytes_ = first + bytes;
  if (shared_bytes_ > kMostSharedBytes) {
    fail_thread(fmt::format("kernel {}: {} bytes of shared memory a block; the device has {}", kernel_.name,
                            shared_bytes_, kMostSharedBytes));
  }
  if (checker_) return checker_->allocate_shared(name, bytes);
  const auto base = reinterpret_cast<uintptr_t>(shared_memory_.get());
  return shared_memory_.get() + (kSharedAlignment - base % kSharedAlignment) % kSharedAlignment + first;
}

void* Block::shared(const void* tag, const char* name, size_t bytes) {
  for (const SharedArray& array : shared_arrays_) {
    if (array.tag == tag) return array.data;
  }
  shared_arrays_.push_back({tag, allocate_shared(name, bytes)});
  return shared_arrays_.back().data;
}

void Block::fail_thread(std::string sentence) {
  if (checker_) checker_->watch(false);
  fault_ = fmt::format("kernel {}: {} (thread {} of block {})", kernel_.name, sentence,
                       current_ ? current_->index : 0, number_);
  if (!playing_block || !current_ || !current_->fiber) throw Error(fault_);
  std::string().swap(sentence);  // nothing of this stack is destroyed
  current_->fiber->abandon();
}

void Block::fail_stuck() {
  const auto waiting = std::find_if(threads_.begin(), threads_.end(), [](const Thread& thread) {
    return thread.state == Thread::State::waiting;
  });
  const std::source_location& at = waiting->arrival.at;
  std::string missing = fmt::format("{} of {} threads have ended", finished_, threads_.size());
  fail("kernel {}: thread {} of block {} waits in {} at {}:{} for threads that never come; {}", kernel_.name,
       waiting->index, number_, name_of(waiting->arrival.what), at.file_name(), at.line(), missing);
}

}  // namespace haze::simt

#pragma once

#include <cstddef>
#include <deque>
#include <mutex>

namespace haze::cuda {

/// Copies from page-locked memory to a device, which are made in the order of start() (copy_queue.h; tests
/// have one of their own).
class CopyQueue {
 public:
  virtual ~CopyQueue() = default;
  /// Returns at once: `staged` is read later.
  virtual void start(void* device, const void* staged, size_t bytes) = 0;
  /// Whether the oldest copy has been made. There is one.
  virtual bool oldest_is_done() = 0;
  /// Waits for the oldest copy and forgets it.
  virtual void retire_oldest() = 0;
};

/// Page-locked memory through which copies to the GPU go, so that the host does not wait for them: a copy
/// returns when its bytes are here. It is a ring. The host waits where it is full of copies that have not
/// been made.
class StagingRing {
 public:
  static constexpr size_t kAlignment = 256;

  /// `memory` has `bytes` bytes, a multiple of 4 kAlignment. Both outlive the ring.
  StagingRing(void* memory, size_t bytes, CopyQueue& queue)
      : memory_(static_cast<unsigned char*>(memory)), bytes_(bytes), queue_(queue) {}
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  /// Copies `bytes` bytes to the device's memory, a quarter of the ring at a time.
  void copy(void* device, const void* host, size_t bytes);

 private:
  /// A range of the ring whose copy may still be to be made.
  struct Range {
    size_t begin, end;
  };

  size_t take(size_t bytes);
  void retire_oldest();

  std::mutex mutex_;
  unsigned char* const memory_;
  const size_t bytes_;
  CopyQueue& queue_;
  size_t next_ = 0;
  std::deque<Range> copies_;  // in the order of the queue
};

}  // namespace haze::cuda

#pragma once

#include <deque>
#include <mutex>
#include <vector>

#include <cuda_runtime_api.h>

namespace haze::cuda {

/// Page-locked memory through which copies to the GPU go, so that the host does not wait for them: a copy
/// returns when its bytes are here. It is a ring. The host waits where it is full of copies that have not
/// been made.
class StagingRing {
 public:
  StagingRing();
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;

  /// Copies `bytes` bytes to the device's memory, in the order of the stream.
  void copy(void* device, const void* host, size_t bytes, cudaStream_t stream);

 private:
  static constexpr size_t kBytes = 16 << 20, kMostAtOnce = kBytes / 4, kAlignment = 256;

  /// A range of the ring that the stream has not passed yet.
  struct Copy {
    size_t begin, end;
    cudaEvent_t done;
  };

  size_t take(size_t bytes);
  /// Waits for the oldest copy.
  void retire_oldest();
  cudaEvent_t an_event();

  std::mutex mutex_;
  unsigned char* memory_ = nullptr;
  size_t next_ = 0;
  std::deque<Copy> copies_;  // in the order of the stream
  std::vector<cudaEvent_t> events_;
};

}  // namespace haze::cuda

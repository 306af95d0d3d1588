#pragma once

#include <deque>
#include <vector>

#include <cuda_runtime_api.h>

#include "haze/engine/cuda/staging.h"

namespace haze::cuda {

/// Copies through a stream, with an event behind each that tells when it has been made.
class StreamCopyQueue final : public CopyQueue {
 public:
  explicit StreamCopyQueue(cudaStream_t stream) : stream_(stream) {}

  void start(void* device, const void* staged, size_t bytes) override;
  bool oldest_is_done() override;
  void retire_oldest() override;

 private:
  cudaEvent_t an_event();

  cudaStream_t stream_;
  std::deque<cudaEvent_t> copies_;  // in the order of the stream
  std::vector<cudaEvent_t> unused_;
};

}  // namespace haze::cuda

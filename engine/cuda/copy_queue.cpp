#include "haze/engine/cuda/copy_queue.h"

#include "haze/engine/cuda/check.h"

namespace haze::cuda {

void StreamCopyQueue::start(void* device, const void* staged, size_t bytes) {
  check(cudaMemcpyAsync(device, staged, bytes, cudaMemcpyHostToDevice, stream_), "a copy to the GPU");
  copies_.push_back(an_event());
  check(cudaEventRecord(copies_.back(), stream_), "an event");
}

bool StreamCopyQueue::oldest_is_done() {
  const bool done = cudaEventQuery(copies_.front()) == cudaSuccess;
  cudaGetLastError();  // forgets that an event is still to come
  return done;
}

void StreamCopyQueue::retire_oldest() {
  check(cudaEventSynchronize(copies_.front()), "waiting for a copy to the GPU");
  unused_.push_back(copies_.front());
  copies_.pop_front();
}

cudaEvent_t StreamCopyQueue::an_event() {
  cudaEvent_t event = nullptr;
  if (unused_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  } else {
    event = unused_.back();
    unused_.pop_back();
  }
  return event;
}

}  // namespace haze::cuda

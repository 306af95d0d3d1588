#include "haze/engine/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "haze/engine/cuda/check.h"

namespace haze::cuda {

StagingRing::StagingRing() {
  check(cudaHostAlloc(reinterpret_cast<void**>(&memory_), kBytes, cudaHostAllocDefault),
        "page-locked memory");
}

void StagingRing::copy(void* device, const void* host, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(mutex_);
  for (size_t done = 0; done < bytes; done += kMostAtOnce) {
    const size_t part = std::min(kMostAtOnce, bytes - done), begin = take(part);
    std::memcpy(memory_ + begin, static_cast<const unsigned char*>(host) + done, part);
    check(cudaMemcpyAsync(static_cast<unsigned char*>(device) + done, memory_ + begin, part,
                          cudaMemcpyHostToDevice, stream),
          "a copy to the GPU");
    copies_.push_back({begin, next_, an_event()});
    check(cudaEventRecord(copies_.back().done, stream), "an event");
  }
}

/// The beginning of a range that no copy needs any more.
size_t StagingRing::take(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const size_t begin = next_ + bytes <= kBytes ? next_ : 0;
  // Copies lie in the ring in their order, so the oldest ones are in the way.
  const auto in_the_way = [&](const Copy& copy) { return copy.begin < begin + bytes && begin < copy.end; };
  while (std::any_of(copies_.begin(), copies_.end(), in_the_way)) {
    check(cudaEventSynchronize(copies_.front().done), "waiting for a copy to the GPU");
    events_.push_back(copies_.front().done);
    copies_.pop_front();
  }
  next_ = begin + bytes;
  return begin;
}

cudaEvent_t StagingRing::an_event() {
  cudaEvent_t event = nullptr;
  if (events_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "an event");
  } else {
    event = events_.back();
    events_.pop_back();
  }
  return event;
}

}  // namespace haze::cuda

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
  while (!copies_.empty() && cudaEventQuery(copies_.front().done) == cudaSuccess) retire_oldest();
  cudaGetLastError();  // forgets that an event is still to come
  size_t begin = next_;
  if (begin + bytes > kBytes) {
    // Copies lie in the ring in their order: those between here and its end are the oldest.
    while (!copies_.empty() && copies_.front().begin >= next_) retire_oldest();
    begin = 0;
  }
  const auto in_the_way = [&](const Copy& copy) { return copy.begin < begin + bytes && begin < copy.end; };
  while (!copies_.empty() && in_the_way(copies_.front())) retire_oldest();
  next_ = begin + bytes;
  return begin;
}

void StagingRing::retire_oldest() {
  check(cudaEventSynchronize(copies_.front().done), "waiting for a copy to the GPU");
  events_.push_back(copies_.front().done);
  copies_.pop_front();
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

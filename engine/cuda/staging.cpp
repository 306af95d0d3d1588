#include "haze/engine/cuda/staging.h"

#include <algorithm>
#include <cstring>

namespace haze::cuda {

void StagingRing::copy(void* device, const void* host, size_t bytes) {
  const std::lock_guard lock(mutex_);
  const size_t most_at_once = bytes_ / 4;
  for (size_t done = 0; done < bytes; done += most_at_once) {
    const size_t part = std::min(most_at_once, bytes - done), begin = take(part);
    std::memcpy(memory_ + begin, static_cast<const unsigned char*>(host) + done, part);
    queue_.start(static_cast<unsigned char*>(device) + done, memory_ + begin, part);
    copies_.push_back({begin, next_});
  }
}

/// The beginning of a range that no copy needs any more.
size_t StagingRing::take(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (!copies_.empty() && queue_.oldest_is_done()) retire_oldest();
  size_t begin = next_;
  if (begin + bytes > bytes_) {
    // Copies lie in the ring in their order: those between here and its end are the oldest.
    while (!copies_.empty() && copies_.front().begin >= next_) retire_oldest();
    begin = 0;
  }
  const auto in_the_way = [&](const Range& copy) { return copy.begin < begin + bytes && begin < copy.end; };
  while (!copies_.empty() && in_the_way(copies_.front())) retire_oldest();
  next_ = begin + bytes;
  return begin;
}

void StagingRing::retire_oldest() {
  queue_.retire_oldest();
  copies_.pop_front();
}

}  // namespace haze::cuda

#include "haze/engine/cuda/staging.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

using namespace haze;

namespace {

/// A device that makes its copies late: when it is told to, or when somebody waits for one.
class LateCopies final : public cuda::CopyQueue {
 public:
  void start(void* device, const void* staged, size_t bytes) override {
    copies_.push_back({device, staged, bytes});
  }
  bool oldest_is_done() override { return made_ > 0; }
  void retire_oldest() override {
    if (made_ == 0) {
      make();
      ++waits;
    }
    copies_.pop_front();
    --made_;
  }

  size_t unmade() const { return copies_.size() - made_; }
  /// Makes the oldest copy that has not been made.
  void make() {
    const Copy& copy = copies_[made_++];
    std::memcpy(copy.device, copy.staged, copy.bytes);
    largest = std::max(largest, copy.bytes);
  }

  int waits = 0;
  size_t largest = 0;

 private:
  struct Copy {
    void* device;
    const void* staged;
    size_t bytes;
  };

  std::deque<Copy> copies_;
  size_t made_ = 0;
};

constexpr size_t kRing = 4096;

}  // namespace

TEST_CASE("staging: bytes in the ring stay until their copy has been made, whenever that is") {
  std::mt19937 random(1);
  std::vector<unsigned char> ring(kRing);
  for (int speed : {0, 1, 2, 5}) {  // of the device, in copies it makes while the host makes one
    LateCopies queue;
    cuda::StagingRing staging(ring.data(), ring.size(), queue);
    std::vector<std::pair<std::vector<unsigned char>, std::vector<unsigned char>>> copies(500);
    for (auto& [source, target] : copies) {
      source.resize(1 + random() % (random() % 10 == 0 ? 3 * kRing : 700));
      std::generate(source.begin(), source.end(), [&] { return static_cast<unsigned char>(random()); });
      target.resize(source.size());
      std::vector<unsigned char> host = source;
      staging.copy(target.data(), host.data(), host.size());
      std::fill(host.begin(), host.end(), 0);  // the host may change them at once
      for (int i = 0; i < speed && queue.unmade() > 0; ++i) queue.make();
    }
    while (queue.unmade() > 0) queue.make();
    for (const auto& [source, target] : copies) CHECK(target == source);
    CHECK(queue.largest == kRing / 4);
  }
}

TEST_CASE("staging: the host waits for no copy while the ring has room") {
  std::vector<unsigned char> ring(kRing), bytes(kRing / 4);
  LateCopies queue;
  cuda::StagingRing staging(ring.data(), ring.size(), queue);
  const auto copy = [&](size_t count) { staging.copy(bytes.data(), bytes.data(), count); };
  for (int i = 0; i < 4; ++i) copy(kRing / 4);
  CHECK(queue.waits == 0);
  copy(1);  // of the oldest alone
  CHECK(queue.waits == 1);
  for (int i = 0; i < 3; ++i) copy(cuda::StagingRing::kAlignment);  // where that was
  CHECK(queue.waits == 1);
  copy(1);
  CHECK(queue.waits == 2);
  while (queue.unmade() > 0) queue.make();
  for (int i = 0; i < 100; ++i) {
    copy(700);
    queue.make();
  }
  CHECK(queue.waits == 2);
}

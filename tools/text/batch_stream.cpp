#include "haze/tools/text/batch_stream.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"

namespace haze {
namespace {

// Streams from here on are the shuffles', so that training may count its own streams of the same seed from 0.
constexpr uint64_t kFirstShuffleStream = uint64_t{1} << 63;

}  // namespace

BatchStream::BatchStream(int64_t size, int64_t batch_size, uint64_t seed)
    : batch_size_(batch_size), seed_(seed), order_(static_cast<size_t>(std::max<int64_t>(size, 0))) {
  if (size < 1) fail("there is no example to make batches of");
  if (batch_size < 1) fail("batch_size must be at least 1, but is {}", batch_size);
  shuffle();
}

std::vector<int64_t> BatchStream::next() {
  std::vector<int64_t> batch;
  batch.reserve(static_cast<size_t>(batch_size_));
  for (int64_t i = 0; i < batch_size_; ++i) {
    batch.push_back(order_[static_cast<size_t>(state_.position)]);
    if (++state_.position == std::ssize(order_)) {
      state_ = {state_.epoch + 1, 0};
      shuffle();
    }
  }
  return batch;
}

void BatchStream::restore(const State& state) {
  if (state.epoch < 0) fail("the data's epoch must be at least 0, but is {}", state.epoch);
  if (state.position < 0 || state.position >= std::ssize(order_)) {
    fail("the data's position is {}, but must be at least 0 and below {}, the number of examples",
         state.position, order_.size());
  }
  state_ = state;
  shuffle();
}

// Fisher and Yates's shuffle (Durstenfeld 1964, Algorithm 235), from the identity: no epoch depends on the
// one before.
void BatchStream::shuffle() {
  std::iota(order_.begin(), order_.end(), int64_t{0});
  Generator generator(seed_, kFirstShuffleStream + static_cast<uint64_t>(state_.epoch));
  for (size_t last = order_.size(); last > 1; --last) {
    std::swap(order_[last - 1], order_[generator.below(last)]);
  }
}

}  // namespace haze

#pragma once

#include <cstdint>
#include <vector>

namespace haze {

/// An endless stream of the numbers of a data set's examples in batches, in an order shuffled anew for each
/// epoch.
///
/// The order of an epoch depends on (seed, epoch) and the number of examples only, so it is the same on
/// every machine. Every example comes exactly once an epoch; a batch may hold the end of one epoch and the
/// beginning of the next, so every batch is full. Holds 8 bytes an example.
class BatchStream {
 public:
  /// The position of the stream, which is part of a checkpoint.
  struct State {
    int64_t epoch = 0;
    int64_t position = 0;  ///< examples of this epoch already given out, in [0, size of the data set)
    friend bool operator==(const State&, const State&) = default;
  };

  /// Makes the stream of a data set of `size` examples. Throws Error where `size` or `batch_size` is below 1.
  BatchStream(int64_t size, int64_t batch_size, uint64_t seed);

  /// The numbers of the next `batch_size` examples.
  std::vector<int64_t> next();

  const State& state() const { return state_; }

  /// Goes to where a stream with the same size and seed stood. Throws Error, and stays where it is, where
  /// the epoch is negative or the position outside [0, size of the data set).
  void restore(const State& state);

 private:
  void shuffle();

  int64_t batch_size_;
  uint64_t seed_;
  State state_;
  std::vector<int64_t> order_;
};

}  // namespace haze

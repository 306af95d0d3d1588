#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "haze/tools/text/data_set.h"

namespace haze {

/// An endless stream of batches over a data set, in an order shuffled anew for each epoch.
///
/// The order of an epoch depends on (seed, epoch) and the number of sequences only, so it is the same on
/// every machine. Every sequence comes exactly once an epoch; a batch may hold the end of one epoch and the
/// beginning of the next, so every batch is full. Holds 8 bytes a sequence.
class BatchStream {
 public:
  /// Where the stream stands; part of a checkpoint.
  struct State {
    int64_t epoch = 0;
    int64_t position = 0;  ///< sequences of this epoch already given out, in [0, size of the data set)
    friend bool operator==(const State&, const State&) = default;
  };

  /// The data set must outlive the stream. Throws Error where `batch_size` is below 1.
  BatchStream(const DataSet& data_set, int64_t batch_size, uint64_t seed);
  BatchStream(DataSet&&, int64_t, uint64_t) = delete;

  /// The next `batch_size` sequences; the spans point into the data set.
  std::vector<std::span<const int32_t>> next();

  const State& state() const { return state_; }

  /// Goes to where a stream with the same data set and seed stood. Throws Error, and stays where it is, where
  /// the epoch is negative or the position outside [0, size of the data set).
  void restore(const State& state);

 private:
  void shuffle();

  const DataSet* data_set_;
  int64_t batch_size_;
  uint64_t seed_;
  State state_;
  std::vector<int64_t> order_;
};

}  // namespace haze

#pragma once

#include <functional>
#include <string>
#include <vector>

#include "haze/tools/run/comparison.h"

namespace haze {

struct SamplingBenchOptions {
  std::string run;     // a run's folder or a checkpoint's
  std::string python;  // empty: haze alone
  std::string filter;  // a regular expression for the samplers' names
  int repetitions = 1;
  std::string precision = "float32";  // of matrix products, or bfloat16
  int64_t count = 1000, length = 64, steps = 64;
  std::vector<int64_t>
      batches;  // of sentences that PyTorch puts through the network at a time; the best counts
};

/// Sentences a second that a trained model writes, beside the same samplers in PyTorch
/// (bench/peers/sampling.py): ancestral in `steps` steps and first-hitting, temperature 1. Throws Error where
/// there is no model, its lengths end below `length`, or the peer cannot be run.
std::vector<ComparisonGroup> compare_sampling(const SamplingBenchOptions& options,
                                              const std::function<void(const std::string&)>& progress);

}  // namespace haze

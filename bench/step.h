#pragma once

#include <functional>
#include <string>
#include <vector>

#include "haze/tools/run/comparison.h"

namespace haze {

/// PyTorch's ways to run some step: those of bench/peers/step.py and bench/peers/value_step.py.
std::vector<std::string> peer_settings();

struct StepBenchOptions {
  std::string filter;                  // a regular expression, found in "training 4 x 256, V 2000, length 64"
  std::string python;                  // with PyTorch; empty: haze alone
  std::vector<std::string> settings;   // of peer_settings(); none: all
  std::vector<std::string> projected;  // by the peer in training of texts: all, masked
  std::string precision = "float32";   // float32 or bfloat16; networks of values have float32 alone
  int repetitions = 3;                 // of which the fastest counts
  double seconds = 1.0;                // of each repetition, which is one step at least
};

/// Training steps, and forward passes alone with every position projected, in tokens a second, and the peak
/// memory of training; then training steps of networks of points and images, in examples a second. The peer
/// is the same model in PyTorch, in its best setting. `progress` is called with what is measured next. Throws
/// Error where a setting does not work.
std::vector<ComparisonGroup> compare_steps(const StepBenchOptions& options,
                                           const std::function<void(const std::string&)>& progress);

}  // namespace haze

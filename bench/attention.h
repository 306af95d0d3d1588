#pragma once

#include <functional>
#include <string>
#include <vector>

#include "haze/tools/run/comparison.h"

namespace haze {

struct AttentionBenchOptions {
  std::string filter;   // a regular expression, found in "attention forward length 64, head size 32"
  std::string python;   // with PyTorch; empty: haze alone
  int repetitions = 3;  // of which the fastest counts
};

/// Attention forward and backward over 16,384 tokens and 8 heads, in sequences of several lengths, in 10^9
/// operations a second: 4 length^2 head_size a head and sequence forward, 10 backward. `progress` is called
/// with each problem's name before it is measured. Throws Error where the filter finds no row.
std::vector<ComparisonGroup> compare_attention(const AttentionBenchOptions& options,
                                               const std::function<void(const std::string&)>& progress);

}  // namespace haze

#pragma once

#include <cmath>
#include <vector>

#include "haze/engine/cpu/parallel.h"

namespace haze {

/// Elements of a long row that one task reduces.
inline constexpr int64_t kRowBlock = 32768;

/// Combines f(first, count) over blocks of a row of `count` elements; the blocks of one row may run on
/// several threads.
template <typename F, typename Combine>
double over_blocks(int64_t count, double start, F&& f, Combine&& combine) {
  const int64_t blocks = (count + kRowBlock - 1) / kRowBlock;
  if (blocks <= 1) return combine(start, f(0, count));
  std::vector<double> parts(static_cast<size_t>(blocks));
  parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b)
      parts[b] = f(b * kRowBlock, std::min(kRowBlock, count - b * kRowBlock));
  });
  double result = start;
  for (double part : parts) result = combine(result, part);
  return result;
}

inline double plus(double a, double b) {
  return a + b;
}
inline double larger(double a, double b) {
  return std::isnan(a) || a > b ? a : b;
}
inline double smaller(double a, double b) {
  return std::isnan(a) || a < b ? a : b;
}

}  // namespace haze

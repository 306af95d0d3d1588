#include "haze/tools/run/divergence.h"

#include <algorithm>
#include <numeric>

namespace haze {
namespace {

constexpr size_t kLosses = 3;
constexpr double kFactor = 10, kMargin = 1;

}  // namespace

double DivergenceDetector::start() const {
  return std::accumulate(first_.begin(), first_.end(), 0.0) / static_cast<double>(first_.size());
}

bool DivergenceDetector::has_diverged(double loss) {
  if (first_.size() < kLosses) {
    first_.push_back(loss);
    return false;
  }
  last_.push_back(loss);
  if (last_.size() > kLosses) last_.erase(last_.begin());
  if (last_.size() < kLosses || *std::min_element(first_.begin(), first_.end()) < 0) return false;
  const double bound = std::max(kFactor * start(), start() + kMargin);
  return std::all_of(last_.begin(), last_.end(), [&](double each) { return each > bound; });
}

}  // namespace haze

#pragma once

#include <vector>

namespace haze {

/// Finds a training whose weights are ruined though all numbers are finite: its loss is far above where it
/// began. Losses that can be negative, such as a critic's, are not judged.
class DivergenceDetector {
 public:
  /// Takes the mean loss since the call before. Whether each of the last three is more than ten times the
  /// mean of the first three, and more than 1 above it: one batch of three can be that bad by chance.
  bool has_diverged(double loss);
  /// The mean of the first three losses.
  double start() const;

 private:
  std::vector<double> first_, last_;
};

}  // namespace haze

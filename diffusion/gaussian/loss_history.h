#pragma once

#include "haze/nn/module.h"

namespace haze {

/// Steps t, int32 [n] in 1..T, and the weights 1 / (T p_t) that make up for how they were drawn, float32 [n].
struct WeightedSteps {
  Tensor t, weights;
};

/// Importance sampling of t (Nichol and Dhariwal 2021, section 3.3, equation 18): p_t is proportional to
/// sqrt(E[L_t^2]), with the mean over the last 10 losses of t. It stays uniform until each t has 10, and a
/// share of 0.001 always is. The history is made of buffers, so that a checkpoint holds it.
class LossHistory : public Module {
 public:
  static constexpr int64_t kLength = 10;
  static constexpr double kUniformShare = 0.001;

  explicit LossHistory(int steps);

  /// p_1..p_T.
  std::vector<double> probabilities() const;
  /// `count` steps drawn with them, antithetic.
  WeightedSteps draw(int64_t count, Generator& generator) const;
  /// Takes in the loss of each example, real [n], before any weight, at its t, int32 [n]; the oldest go.
  void add(const Tensor& t, const Tensor& losses);

 private:
  Tensor losses_;  // float32 [T, 10], a ring for each t
  /// int32 [T]: losses of t so far; from 10 on it stays in 10..19, so that the next slot is its last digit.
  Tensor counts_;
};

}  // namespace haze

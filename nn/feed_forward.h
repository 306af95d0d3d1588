#pragma once

#include <memory>
#include <vector>

#include "haze/nn/layers.h"

namespace haze {

/// The nonlinearity of hidden layers. All have second derivatives, which penalties of a gradient need.
enum class HiddenActivation {
  relu,
  silu,
  leaky_relu,  // x where x > 0, otherwise 0.2 x
};

/// from, then `layers` times `hidden`, then to: the widths of a multilayer perceptron with equal hidden
/// layers.
std::vector<int64_t> feed_forward_widths(int64_t from, int64_t layers, int64_t hidden, int64_t to);

/// A multilayer perceptron: linear layers with an activation between them, and none after the last.
class FeedForward : public Module {
 public:
  /// Layers from widths[0] to widths[1] and so on. Throws Error for fewer than two widths, and where one is
  /// not positive.
  FeedForward(const std::vector<int64_t>& widths, HiddenActivation activation, Generator& generator);

  /// x [..., widths.front()] -> [..., widths.back()].
  Variable forward(const Variable& x) const;
  /// The same numbers with the parameters as constants: a backward pass reaches x alone, and computes no
  /// gradient of a parameter.
  Variable forward_frozen(const Variable& x) const;

 private:
  Variable forward(const Variable& x, bool frozen) const;

  HiddenActivation activation_;
  std::vector<std::unique_ptr<Linear>> layers_;
};

}  // namespace haze

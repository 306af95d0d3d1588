#pragma once

#include <memory>

#include "haze/nn/settings.h"
#include "haze/nn/timed_network.h"

namespace haze {

/// The rows of section [network] and of the sections [mlp], [unet] and [autoencoder].
SettingsTable value_network_settings();

/// Throws Error where these settings contradict one another or a list among them is none, whatever the
/// examples.
void check_value_network_settings(const Settings& settings);

/// The network of a model of real-valued examples, as its settings say: x_t and t become what the model
/// predicts. `network.kind` auto is an MLP of vectors, [width], and a U-Net of images, [channels, height,
/// width]. An MLP of images reads the numbers of an image as a vector. Parameters have the names of the
/// chosen network.
class ValueNetwork : public Module {
 public:
  /// For examples of shape `example`. With `outputs` 2 the result has twice the channels (of an image) or
  /// numbers (of a vector); the second half is for a learned variance. Throws Error where the network cannot
  /// have such examples, and where a setting of a network that is not chosen differs from its default.
  ValueNetwork(const Settings& settings, const Shape& example, int64_t outputs, Generator& generator);

  /// x [n, example...], t float32 [n] in [0, 1] -> [n, outputs example[0], example[1], ...]. Throws Error
  /// where a shape is wrong, and in training with dropout without a generator.
  Variable forward(const Variable& x, const Tensor& t, const ForwardContext& context = {}) const;

  /// mlp, unet or autoencoder.
  const std::string& kind() const { return kind_; }

 private:
  Shape example_, output_;
  std::string kind_;
  std::unique_ptr<TimedNetwork> network_;
};

}  // namespace haze

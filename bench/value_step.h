#pragma once

#include <string>
#include <vector>

#include "haze/bench/step_turns.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/value_network.h"

namespace haze {

/// A network of points or images, and the batches it is trained on.
struct ValueStepModel {
  Shape example;
  int64_t batch;

  /// "MLP of [2], batch 256".
  std::string name() const;
  bool is_image() const { return example.rank() == 3; }
};

/// The networks that are compared: the MLP of points and the U-Net of images that the settings have by
/// default.
const std::vector<ValueStepModel>& value_step_models();

/// PyTorch's ways to run bench/peers/value_step.py, and its other arguments.
std::vector<std::string> value_peer_settings(const ValueStepModel& model);
StepPeer value_step_peer(const ValueStepModel& model);

/// Haze's side: noise is drawn, added and predicted (Ho et al. 2020, equation 14), by AdamW with gradients
/// clipped to 1. alpha_bar = cos^2(pi t / 2), t uniform.
class ValueStepProgram {
 public:
  explicit ValueStepProgram(const ValueStepModel& model);
  void train();

 private:
  Generator generator_;
  Tensor x_0_;
  ValueNetwork network_;
  AdamW optimizer_;
};

}  // namespace haze

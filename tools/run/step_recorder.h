#pragma once

#include <filesystem>
#include <string>

#include "haze/diffusion/model.h"

namespace haze {

/// Keeps what the first training steps saw and gave, so that another program can repeat them:
/// folder/initial.safetensors, the weights before step 1; folder/batches.safetensors, for step k the tensors
/// of Loss::inputs, such as "k.x_t", and "k.learning_rate" and "k.loss"; and folder/config.toml.
class StepRecorder {
 public:
  /// Records `steps` steps of `model`.
  StepRecorder(Model& model, std::filesystem::path folder, int64_t steps, const std::string& config);

  /// Takes a step down; the last one writes the files.
  void add_step(const NamedTensors& inputs, double learning_rate, double loss);
  bool done() const { return recorded_ == steps_; }

 private:
  void add(std::string_view name, const Tensor& tensor);

  std::filesystem::path folder_;
  int64_t steps_, recorded_ = 0;
  NamedTensors tensors_;
};

}  // namespace haze

#pragma once

#include <filesystem>
#include <string>

#include "haze/diffusion/discrete/denoiser.h"
#include "haze/nn/named_tensors.h"

namespace haze {

/// Keeps what the first training steps saw and gave, so that another program can repeat them:
/// folder/initial.safetensors, the weights before step 1; folder/batches.safetensors, for step k "k.x_t",
/// "k.offsets", "k.time", "k.masked", "k.targets", "k.row_weights", "k.learning_rate" and "k.loss"; and
/// folder/config.toml. It is a Denoiser around the model's, since what a loss asks of its denoiser is all
/// that a step depends on.
class StepRecorder : public Denoiser {
 public:
  /// Records `steps` steps of `denoiser`, which must outlive this.
  StepRecorder(TransformerDenoiser& denoiser, std::filesystem::path folder, int64_t steps,
               std::string config);

  int64_t vocabulary() const override { return denoiser_.vocabulary(); }
  bool depends_on_time() const override { return denoiser_.depends_on_time(); }
  Variable logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t, const Tensor& rows,
                  const ForwardContext& context) const override;
  CrossEntropy cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                             const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                             const ForwardContext& context) const override;

  /// Ends a step; the last one writes the files.
  void end_step(double learning_rate, double loss);
  bool done() const { return recorded_ == steps_; }

 private:
  void add(std::string_view name, const Tensor& tensor) const;

  TransformerDenoiser& denoiser_;
  std::filesystem::path folder_;
  int64_t steps_, recorded_ = 0;
  mutable NamedTensors tensors_;
};

}  // namespace haze

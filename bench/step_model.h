#pragma once

#include <string>
#include <vector>

#include "haze/diffusion/discrete/mdlm.h"
#include "haze/nn/optimizer.h"

namespace haze {

/// A network and the batches it is trained on.
struct StepModel {
  int64_t layers, hidden, heads, vocabulary, length, batch;

  std::string name() const;
  int64_t tokens() const { return length * batch; }
};

/// The networks that are compared.
const std::vector<StepModel>& step_models();

/// Haze's side of the comparison: a pre-norm transformer with learned positions, trained as MDLM with the
/// log-linear schedule on sentences of random words, by AdamW with gradients clipped to 1.
class StepProgram {
 public:
  explicit StepProgram(const StepModel& model);

  void train();
  /// The network and the projection of every position, recording nothing.
  void forward();

 private:
  Generator generator_;
  TextBatch x_0_;
  TransformerDenoiser denoiser_;
  AdamW optimizer_;
};

}  // namespace haze

#include "haze/tools/run/step_recorder.h"

#include "haze/nn/file_io.h"
#include "haze/nn/safetensors.h"

namespace haze {

StepRecorder::StepRecorder(TransformerDenoiser& denoiser, std::filesystem::path folder, int64_t steps,
                           std::string config)
    : denoiser_(denoiser), folder_(std::move(folder)), steps_(steps) {
  std::filesystem::create_directories(folder_);
  save_parameters(denoiser_, folder_ / "initial.safetensors");
  write_file_atomically(folder_ / "config.toml", config);
}

Variable StepRecorder::logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                              const Tensor& rows, const ForwardContext& context) const {
  return denoiser_.logits(x_t, sequences, t, rows, context);
}

CrossEntropy StepRecorder::cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                         const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                                         const ForwardContext& context) const {
  add("x_t", x_t);
  add("offsets", sequences.offsets);
  add("time", t);
  add("masked", rows);
  add("targets", targets);
  add("row_weights", row_weights);
  return denoiser_.cross_entropy(x_t, sequences, t, rows, targets, row_weights, context);
}

void StepRecorder::add(std::string_view name, const Tensor& tensor) const {
  tensors_.push_back({fmt::format("{}.{}", recorded_ + 1, name), clone(tensor)});
}

void StepRecorder::end_step(double learning_rate, double loss) {
  add("learning_rate", full({}, learning_rate));
  add("loss", full({}, loss));
  if (++recorded_ == steps_) write_safetensors(folder_ / "batches.safetensors", tensors_);
}

}  // namespace haze

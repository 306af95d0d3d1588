#include "haze/tools/run/step_recorder.h"

#include "haze/nn/file_io.h"
#include "haze/nn/safetensors.h"

namespace haze {

StepRecorder::StepRecorder(Model& model, std::filesystem::path folder, int64_t steps,
                           const std::string& config)
    : folder_(std::move(folder)), steps_(steps) {
  std::filesystem::create_directories(folder_);
  save_parameters(model, folder_ / "initial.safetensors");
  write_file_atomically(folder_ / "config.toml", config);
}

void StepRecorder::add(std::string_view name, const Tensor& tensor) {
  tensors_.push_back({fmt::format("{}.{}", recorded_ + 1, name), clone(tensor)});
}

void StepRecorder::add_step(const NamedTensors& inputs, double learning_rate, double loss) {
  for (const NamedTensor& input : inputs) add(input.name, input.tensor);
  add("learning_rate", full({}, learning_rate));
  add("loss", full({}, loss));
  if (++recorded_ == steps_) write_safetensors(folder_ / "batches.safetensors", tensors_);
}

}  // namespace haze

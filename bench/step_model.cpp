#include "haze/bench/step_model.h"

#include <fmt/format.h>

namespace haze {
namespace {

TransformerConfig config_of(const StepModel& model) {
  TransformerConfig config;
  config.hidden = model.hidden;
  config.layers = model.layers;
  config.heads = model.heads;
  config.max_length = model.length;
  return config;
}

TextBatch random_texts(const StepModel& model, Generator& generator) {
  const auto words =
      cast(uniform({model.tokens()}, generator, 0, static_cast<double>(model.vocabulary)), Dtype::int32)
          .to_vector<int32_t>();
  std::vector<std::vector<int32_t>> texts;
  for (int64_t i = 0; i < model.batch; ++i) {
    const auto first = words.begin() + i * model.length;
    texts.emplace_back(first, first + model.length);
  }
  return TextBatch::of(texts);
}

}  // namespace

std::string StepModel::name() const {
  return fmt::format("{} x {}, V {}, length {}", layers, hidden, vocabulary, length);
}

const std::vector<StepModel>& step_models() {
  static const std::vector<StepModel> models{{4, 256, 8, 2000, 64, 64},
                                             {4, 256, 8, 30522, 64, 32},
                                             {4, 256, 8, 2000, 128, 32},
                                             {6, 512, 8, 2000, 128, 16},
                                             {6, 512, 8, 30522, 128, 16}};
  return models;
}

StepProgram::StepProgram(const StepModel& model)
    : generator_(1),
      x_0_(random_texts(model, generator_)),
      denoiser_(model.vocabulary, config_of(model), static_cast<int32_t>(model.vocabulary), generator_),
      optimizer_(denoiser_.parameters(), {.weight_decay = 0.01}) {}

void StepProgram::train() {
  const Corruption corruption = mdlm_corruption(x_0_, MaskingSchedule(), {.draw = MaskDraw::independent},
                                                denoiser_.mask_id(), generator_);
  const Loss loss = masked_loss(denoiser_, corruption, {true, &generator_});
  denoiser_.clear_gradients();
  backward(loss.total);
  optimizer_.step(1e-4, clip_scale(denoiser_.parameters(), 1.0));
}

void StepProgram::forward() {
  const NoGradient no_gradient;
  denoiser_.logits({x_0_.ids, x_0_.sequences, {}, arange(x_0_.sequences.rows)}, {});
}

}  // namespace haze

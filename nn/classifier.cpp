#include "haze/nn/classifier.h"

#include <string>

#include "haze/nn/timed_network.h"

namespace haze {

Classifier::Classifier(const ClassifierConfig& config, Generator& generator) : config_(config) {
  const Shape& example = config.example;
  if ((example.rank() != 1 && example.rank() != 3) || example.elements() < 1) {
    fail("Classifier: an example is a vector [width] or an image [channels, height, width], not {}",
         example.to_string());
  }
  if (config.classes < 1 || config.width < 1)
    fail("Classifier: {} classes and a width of {} is no network", config.classes, config.width);
  if (config.time) {
    time_embedding_ = std::make_unique<TimeEmbedding>(config.width, generator);
    add_module("time_embedding", *time_embedding_);
  }
  example.rank() == 1 ? make_vector_layers(generator) : make_image_blocks(generator);
  output_ = std::make_unique<Linear>(feature_width_, config.classes, generator);
  add_module("output", *output_);
}

void Classifier::make_vector_layers(Generator& generator) {
  feature_width_ = config_.width;
  for (int i = 0; i < 3; ++i) {
    const int64_t in = i == 0 ? config_.example[0] : config_.width;
    layers_.push_back(std::make_unique<Linear>(in, config_.width, generator));
    add_module("layers." + std::to_string(i), *layers_.back());
  }
}

void Classifier::make_image_blocks(Generator& generator) {
  feature_width_ = 2 * config_.width;
  int64_t in = config_.example[0];
  for (int i = 0; i < 3; ++i) {
    const int64_t out = i == 0 ? config_.width : feature_width_;
    const ConvBlockConfig block{.in = in,
                                .out = out,
                                .stride = i == 0 ? 1 : 2,
                                .groups = config_.groups,
                                .time_width = config_.time ? config_.width : 0};
    blocks_.push_back(std::make_unique<ConvBlock>(block, generator));
    add_module("blocks." + std::to_string(i), *blocks_.back());
    in = out;
  }
}

void Classifier::check_input(const Variable& x, const Tensor& t) const {
  const Shape& example = config_.example;
  if (x.rank() == 0 || !(x.shape() == batch_shape(x.size(0), example))) {
    fail("Classifier: x has shape {}, it takes examples of {}", x.shape().to_string(), example.to_string());
  }
  if (config_.time) check_times("Classifier", t, x.size(0), "examples");
  if (!config_.time && t.defined()) fail("Classifier: it reads no time, and is given one");
}

Variable Classifier::features(const Variable& x, const Tensor& t) const {
  check_input(x, t);
  Variable e;
  if (config_.time) e = time_embedding_->forward(t);
  Variable h = x;
  for (const auto& layer : layers_) h = silu(layer->forward(h, Activation::none, e));
  if (config_.time) e = silu(e);  // as a ConvBlock takes it
  for (const auto& block : blocks_) h = block->forward(h, e);
  return blocks_.empty() ? h : mean(h, {2, 3});
}

Variable Classifier::forward(const Variable& x, const Tensor& t) const {
  return output_->forward(features(x, t));
}

}  // namespace haze

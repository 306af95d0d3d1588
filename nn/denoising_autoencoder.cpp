#include "haze/nn/denoising_autoencoder.h"

namespace haze {

DenoisingAutoencoder::DenoisingAutoencoder(const DenoisingAutoencoderConfig& config, Generator& generator)
    : image_(config.image) {
  if (config.outputs < 1) fail("DenoisingAutoencoder: {} outputs", config.outputs);
  check_image_levels("DenoisingAutoencoder", config.image, config.width, config.multipliers);
  time_embedding_ = std::make_unique<TimeEmbedding>(kTimeRatio * config.width, generator);
  add_module("time_embedding", *time_embedding_);
  const auto levels = std::ssize(config.multipliers);
  int64_t in = config.image[0];
  const auto add = [&](const std::string& part, int64_t level, int64_t index, bool halves, bool doubles) {
    const int64_t out = config.width * config.multipliers[static_cast<size_t>(level)];
    add_step(fmt::format("{}.{}.{}", part, level, index), doubles,
             {.in = in,
              .out = out,
              .stride = halves ? 2 : 1,
              .groups = config.groups,
              .time_width = kTimeRatio * config.width},
             generator);
    in = out;
  };
  for (int64_t level = 0; level < levels; ++level) {
    add("encoder", level, 0, level > 0, false);
    add("encoder", level, 1, false, false);
  }
  for (int64_t level = levels - 1; level >= 0; --level) {
    add("decoder", level, 0, false, level + 1 < levels);
    add("decoder", level, 1, false, false);
  }
  output_ = std::make_unique<Conv2d>(in, config.outputs * image_[0], 3, generator, Conv2dOptions{.gain = 0});
  add_module("output", *output_);
}

void DenoisingAutoencoder::add_step(const std::string& name, bool doubles, const ConvBlockConfig& block,
                                    Generator& generator) {
  steps_.push_back({doubles, std::make_unique<ConvBlock>(block, generator)});
  add_module(name, *steps_.back().block);
}

Variable DenoisingAutoencoder::forward(const Variable& x, const Tensor& t, const ForwardContext&) const {
  check_images("DenoisingAutoencoder", x, image_);
  check_times("DenoisingAutoencoder", t, x.size(0), "images");
  const Variable e = silu(time_embedding_->forward(t));
  Variable h = x;
  for (const Step& step : steps_) h = step.block->forward(step.doubles ? upsample(h, 2) : h, e);
  return output_->forward(h);
}

}  // namespace haze

#include "haze/nn/unet.h"

#include <algorithm>
#include <string>

#include <fmt/ranges.h>

namespace haze {
namespace {

void check_config(const UNetConfig& config) {
  check_image_levels("UNet", config.image, config.width, config.multipliers);
  if (config.blocks < 1 || config.outputs < 1)
    fail("UNet: {} blocks a level and {} outputs is no network", config.blocks, config.outputs);
  std::vector<int64_t> heights;
  for (size_t level = 0; level < config.multipliers.size(); ++level)
    heights.push_back(config.image[1] >> level);
  for (int64_t height : config.attention) {
    if (std::find(heights.begin(), heights.end(), height) == heights.end())
      fail("UNet: attention at height {}, and the levels have heights {}", height, fmt::join(heights, ", "));
  }
}

}  // namespace

UNetStage::UNetStage(const ResidualBlockConfig& block, bool attention, int64_t heads, Generator& generator)
    : block_(block, generator) {
  add_module("block", block_);
  if (!attention) return;
  attention_ = std::make_unique<ImageAttention>(block.out, heads, block.groups, generator);
  add_module("attention", *attention_);
}

Variable UNetStage::forward(const Variable& x, const Variable& e, const ForwardContext& context) const {
  const Variable h = block_.forward(x, e, context);
  return attention_ ? attention_->forward(h) : h;
}

UNet::UNet(const UNetConfig& config, Generator& generator) : config_(config) {
  check_config(config);
  time_embedding_ = std::make_unique<TimeEmbedding>(kTimeRatio * config.width, generator);
  add_module("time_embedding", *time_embedding_);
  input_ = std::make_unique<Conv2d>(config.image[0], config.width, 3, generator);
  add_module("input", *input_);
  std::vector<int64_t> skips;  // channels of what the way down leaves for the way up
  make_down(skips, generator);
  make_middle(skips.back(), generator);
  make_up(skips, generator);
  output_norm_ = std::make_unique<GroupNorm>(config.groups, channels(0));
  add_module("output_norm", *output_norm_);
  output_ = std::make_unique<Conv2d>(channels(0), config.outputs * config.image[0], 3, generator,
                                     Conv2dOptions{.gain = 0});
  add_module("output", *output_);
}

bool UNet::has_attention(size_t level) const {
  const auto& where = config_.attention;
  return std::find(where.begin(), where.end(), config_.image[1] >> level) != where.end();
}

std::unique_ptr<UNetStage> UNet::stage(int64_t in, int64_t out, bool attention, Generator& generator) const {
  const ResidualBlockConfig block{.in = in,
                                  .out = out,
                                  .time_width = kTimeRatio * config_.width,
                                  .groups = config_.groups,
                                  .dropout = config_.dropout};
  return std::make_unique<UNetStage>(block, attention, config_.heads, generator);
}

void UNet::make_down(std::vector<int64_t>& skips, Generator& generator) {
  int64_t in = config_.width;
  skips.push_back(in);
  for (size_t i = 0; i < config_.multipliers.size(); ++i) {
    const std::string name = "down." + std::to_string(i) + ".";
    Level& level = down_.emplace_back();
    for (int64_t b = 0; b < config_.blocks; ++b) {
      level.stages.push_back(stage(in, channels(i), has_attention(i), generator));
      add_module(name + std::to_string(b), *level.stages.back());
      in = channels(i);
      skips.push_back(in);
    }
    if (i + 1 == config_.multipliers.size()) break;
    level.downsample = std::make_unique<Conv2d>(in, in, 3, generator, Conv2dOptions{.stride = 2});
    add_module(name + "downsample", *level.downsample);
    skips.push_back(in);
  }
}

void UNet::make_middle(int64_t in, Generator& generator) {
  for (const bool attention : {true, false}) {
    middle_.push_back(stage(in, in, attention, generator));
    add_module("middle." + std::to_string(middle_.size() - 1), *middle_.back());
  }
}

void UNet::make_up(std::vector<int64_t> skips, Generator& generator) {
  int64_t in = skips.back();
  for (size_t i = config_.multipliers.size(); i-- > 0;) {
    const std::string name = "up." + std::to_string(i) + ".";
    Level& level = up_.emplace_back();
    for (int64_t b = 0; b <= config_.blocks; ++b) {
      level.stages.push_back(stage(in + skips.back(), channels(i), has_attention(i), generator));
      add_module(name + std::to_string(b), *level.stages.back());
      in = channels(i);
      skips.pop_back();
    }
    if (i == 0) break;
    level.upsample = std::make_unique<Upsample>(in, generator);
    add_module(name + "upsample", *level.upsample);
  }
}

Variable UNet::forward(const Variable& x, const Tensor& t, const ForwardContext& context) const {
  check_images("UNet", x, config_.image);
  check_times("UNet", t, x.size(0), "images");
  const Variable e = silu(time_embedding_->forward(t));  // as each residual block reads it
  std::vector<Variable> skips;
  Variable h = go_down(input_->forward(x), e, context, skips);
  for (const auto& stage : middle_) h = stage->forward(h, e, context);
  h = go_up(h, e, context, std::move(skips));
  return output_->forward(silu(output_norm_->forward(h)));
}

Variable UNet::go_down(Variable h, const Variable& e, const ForwardContext& context,
                       std::vector<Variable>& skips) const {
  skips.push_back(h);
  for (const Level& level : down_) {
    for (const auto& stage : level.stages) {
      h = stage->forward(h, e, context);
      skips.push_back(h);
    }
    if (!level.downsample) continue;
    h = level.downsample->forward(h);
    skips.push_back(h);
  }
  return h;
}

Variable UNet::go_up(Variable h, const Variable& e, const ForwardContext& context,
                     std::vector<Variable> skips) const {
  for (const Level& level : up_) {
    for (const auto& stage : level.stages) {
      h = stage->forward(concat({h, skips.back()}, 1), e, context);
      skips.pop_back();
    }
    if (level.upsample) h = level.upsample->forward(h);
  }
  return h;
}

}  // namespace haze

#include "haze/nn/image_blocks.h"

#include <algorithm>

#include <fmt/ranges.h>

namespace haze {

namespace {

// Each image is a sequence of its own.
Tensor offsets_of(int64_t images, int64_t pixels, Device device) {
  const Tensor step = full({}, static_cast<double>(pixels), Dtype::int32, device);
  return multiply(arange(images + 1, Dtype::int32, device), step);
}

}  // namespace

void check_image_levels(const char* name, const Shape& image, int64_t width,
                        const std::vector<int64_t>& multipliers) {
  if (image.rank() != 3 || image.elements() < 1)
    fail("{}: an example is an image [channels, height, width], not {}", name, image.to_string());
  if (width < 1) fail("{}: the first level has {} channels", name, width);
  const bool positive = std::all_of(multipliers.begin(), multipliers.end(), [](int64_t m) { return m > 0; });
  if (multipliers.empty() || multipliers.size() > 16 || !positive) {
    fail("{}: the multipliers of the levels' channels are {}; it takes 1 to 16 positive numbers", name,
         multipliers);
  }
  const int64_t divisor = int64_t{1} << (multipliers.size() - 1);
  if (image[1] % divisor == 0 && image[2] % divisor == 0) return;
  fail("{}: with {} levels, the height and width of an image are multiples of {}, and they are {} x {}", name,
       multipliers.size(), divisor, image[1], image[2]);
}

void check_images(const char* name, const Variable& x, const Shape& image) {
  if (x.rank() == 4 && x.shape() == Shape{x.size(0), image[0], image[1], image[2]}) return;
  fail("{}: x has shape {}, it takes images of {}", name, x.shape().to_string(), image.to_string());
}

Variable add_to_pixels(const Variable& x, const Variable& y) {
  return x + reshape(y, {y.size(0), y.size(1), 1, 1});
}

ResidualBlock::ResidualBlock(const ResidualBlockConfig& config, Generator& generator)
    : dropout_(config.dropout),
      norm1_(config.groups, config.in),
      conv1_(config.in, config.out, 3, generator),
      time_(config.time_width, config.out, generator),
      norm2_(config.groups, config.out),
      conv2_(config.out, config.out, 3, generator, {.gain = 0}) {
  add_module("norm1", norm1_);
  add_module("conv1", conv1_);
  add_module("time", time_);
  add_module("norm2", norm2_);
  add_module("conv2", conv2_);
  if (config.in == config.out) return;
  add_module("shortcut", shortcut_.emplace(config.in, config.out, 1, generator));
}

Variable ResidualBlock::forward(const Variable& x, const Variable& e, const ForwardContext& context) const {
  const Variable h = add_to_pixels(conv1_.forward(silu(norm1_.forward(x))), time_.forward(e));
  const Variable y = conv2_.forward(context.drop(silu(norm2_.forward(h)), dropout_));
  return y + (shortcut_ ? shortcut_->forward(x) : x);
}

ImageAttention::ImageAttention(int64_t channels, int64_t heads, int64_t groups, Generator& generator)
    : heads_(heads),
      norm_(groups, channels),
      qkv_(channels, 3 * channels, generator),
      output_(channels, channels, generator, true, 0) {
  if (heads < 1 || channels % heads != 0)
    fail("ImageAttention: {} channels do not fall into {} heads", channels, heads);
  add_module("norm", norm_);
  add_module("qkv", qkv_);
  add_module("output", output_);
}

Variable ImageAttention::forward(const Variable& x) const {
  const int64_t n = x.size(0), channels = x.size(1), pixels = x.size(2) * x.size(3);
  const Variable planes = reshape(norm_.forward(x), {n, channels, pixels});
  const Variable rows = reshape(permute(planes, {0, 2, 1}), {n * pixels, channels});  // a row is a pixel
  const Variable qkv = reshape(qkv_.forward(rows), {n * pixels, 3, heads_, channels / heads_});
  AttentionOptions options;
  options.query_offsets = offsets_of(n, pixels, x.value().device());
  const Variable mixed = reshape(self_attention(qkv, options), {n * pixels, channels});
  const Variable back = permute(reshape(output_.forward(mixed), {n, pixels, channels}), {0, 2, 1});
  return x + reshape(back, x.shape());
}

Upsample::Upsample(int64_t channels, Generator& generator) : conv_(channels, channels, 3, generator) {
  add_module("conv", conv_);
}

Variable Upsample::forward(const Variable& x) const {
  return conv_.forward(upsample(x, 2));
}

ConvBlock::ConvBlock(const ConvBlockConfig& config, Generator& generator)
    : conv_(config.in, config.out, 3, generator, {.stride = config.stride}),
      norm_(config.groups, config.out) {
  add_module("conv", conv_);
  add_module("norm", norm_);
  if (config.time_width > 0) add_module("time", time_.emplace(config.time_width, config.out, generator));
}

Variable ConvBlock::forward(const Variable& x, const Variable& e) const {
  const Variable h = norm_.forward(conv_.forward(x));
  return silu(time_ ? add_to_pixels(h, time_->forward(e)) : h);
}

}  // namespace haze

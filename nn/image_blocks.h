#pragma once

#include <optional>
#include <vector>

#include "haze/nn/layers.h"

/// The parts of networks of images [n, channels, height, width].
namespace haze {

/// Throws Error, beginning with `name`, unless `image` is [channels, height, width]. The first level's width
/// and the levels' multipliers of it must be positive, and height and width multiples of 2^(levels - 1).
void check_image_levels(const char* name, const Shape& image, int64_t width,
                        const std::vector<int64_t>& multipliers);
/// Throws Error, beginning with `name`, unless x is [n, image...].
void check_images(const char* name, const Variable& x, const Shape& image);

/// x [n, channels, h, w] + y [n, channels] at every pixel.
Variable add_to_pixels(const Variable& x, const Variable& y);

/// The vector of the time is so many times wider than a network's first level (Ho et al. 2020).
inline constexpr int64_t kTimeRatio = 4;

struct ResidualBlockConfig {
  int64_t in, out;     // channels
  int64_t time_width;  // of the time's vector
  int64_t groups = 8;  // of the norms; they divide the channels
  double dropout = 0;  // before the second convolution
};

/// The residual block of Ho et al. 2020, appendix B:
///   h = conv1(SiLU(norm1(x))) + time(e),   y = shortcut(x) + conv2(dropout(SiLU(norm2(h)))).
/// conv1 and conv2 are 3 x 3, and conv2 starts as zero. `shortcut` is a 1 x 1 convolution where the number of
/// channels changes, and nothing where it does not.
class ResidualBlock : public Module {
 public:
  ResidualBlock(const ResidualBlockConfig& config, Generator& generator);

  /// x [n, in, h, w], e [n, time_width] -> [n, out, h, w].
  Variable forward(const Variable& x, const Variable& e, const ForwardContext& context) const;

 private:
  double dropout_;
  GroupNorm norm1_;
  Conv2d conv1_;
  Linear time_;
  GroupNorm norm2_;
  Conv2d conv2_;
  std::optional<Conv2d> shortcut_;
};

/// Self-attention over the pixels of an image: x + output(attention(qkv(norm(x)))), without an order of the
/// pixels. `output` starts as zero, so the block starts as the identity.
class ImageAttention : public Module {
 public:
  /// Throws Error where `heads` does not divide `channels`.
  ImageAttention(int64_t channels, int64_t heads, int64_t groups, Generator& generator);

  /// x [n, channels, h, w] -> the same shape.
  Variable forward(const Variable& x) const;

 private:
  int64_t heads_;
  GroupNorm norm_;
  Linear qkv_, output_;
};

/// Twice the height and width: each pixel four times (nearest neighbour), then a 3 x 3 convolution.
class Upsample : public Module {
 public:
  Upsample(int64_t channels, Generator& generator);
  /// x [n, channels, h, w] -> [n, channels, 2 h, 2 w].
  Variable forward(const Variable& x) const;

 private:
  Conv2d conv_;
};

struct ConvBlockConfig {
  int64_t in, out;         // channels
  int64_t stride = 1;      // 2 halves height and width
  int64_t groups = 8;      // of the norm; they divide `out`
  int64_t time_width = 0;  // of the time's vector; 0: there is no time
};

/// SiLU(norm(conv(x)) + time(e)) with a 3 x 3 convolution.
class ConvBlock : public Module {
 public:
  ConvBlock(const ConvBlockConfig& config, Generator& generator);

  /// x [n, in, h, w], e [n, time_width] or undefined -> [n, out, ceil(h / stride), ceil(w / stride)].
  Variable forward(const Variable& x, const Variable& e = {}) const;

 private:
  Conv2d conv_;
  GroupNorm norm_;
  std::optional<Linear> time_;
};

}  // namespace haze

#pragma once

#include <memory>
#include <vector>

#include "haze/nn/image_blocks.h"
#include "haze/nn/positions.h"
#include "haze/nn/timed_network.h"

namespace haze {

struct UNetConfig {
  Shape image = {1, 16, 16};                     // channels, height, width
  int64_t outputs = 1;                           // what comes out has so many times the image's channels
  int64_t width = 32;                            // channels of the first level
  std::vector<int64_t> multipliers = {1, 2, 2};  // of each level's channels; a level has half the height of
                                                 // the one above
  int64_t blocks = 2;                            // residual blocks of a level on the way down; one more up
  std::vector<int64_t> attention;                // heights at which each residual block has attention
  int64_t heads = 1;
  int64_t groups = 8;
  double dropout = 0;
};

/// A residual block and, at the heights that have it, attention.
class UNetStage : public Module {
 public:
  UNetStage(const ResidualBlockConfig& block, bool attention, int64_t heads, Generator& generator);
  /// x [n, in, h, w], e [n, time_width] -> [n, out, h, w].
  Variable forward(const Variable& x, const Variable& e, const ForwardContext& context) const;

 private:
  ResidualBlock block_;
  std::unique_ptr<ImageAttention> attention_;
};

/// The U-Net of Ho et al. 2020, appendix B (after Ronneberger et al. 2015). The way down halves the height
/// and width from level to level, and the way up doubles them. Each residual block of the way up also reads
/// the result of its partner on the way down (skip connections). The middle always has attention. The last
/// convolution starts as zero.
class UNet : public TimedNetwork {
 public:
  /// Throws Error where an extent is not positive, or height or width is not a multiple of 2^(levels - 1).
  /// Throws Error where groups or heads do not divide the channels, or no level has the height of an
  /// attention.
  UNet(const UNetConfig& config, Generator& generator);

  /// x [n, channels, height, width], t float32 [n] in [0, 1] -> [n, outputs channels, height, width].
  Variable forward(const Variable& x, const Tensor& t, const ForwardContext& context = {}) const override;

 private:
  struct Level {
    std::vector<std::unique_ptr<UNetStage>> stages;
    std::unique_ptr<Conv2d> downsample;  // of a way down, but not of the lowest level
    std::unique_ptr<Upsample> upsample;  // of a way up, but not of the highest level
  };

  void make_down(std::vector<int64_t>& skips, Generator& generator);
  void make_middle(int64_t channels, Generator& generator);
  void make_up(std::vector<int64_t> skips, Generator& generator);
  std::unique_ptr<UNetStage> stage(int64_t in, int64_t out, bool attention, Generator& generator) const;
  bool has_attention(size_t level) const;
  int64_t channels(size_t level) const { return config_.width * config_.multipliers[level]; }

  Variable go_down(Variable h, const Variable& e, const ForwardContext& context,
                   std::vector<Variable>& skips) const;
  Variable go_up(Variable h, const Variable& e, const ForwardContext& context,
                 std::vector<Variable> skips) const;

  UNetConfig config_;
  std::unique_ptr<TimeEmbedding> time_embedding_;
  std::unique_ptr<Conv2d> input_;
  std::vector<Level> down_, up_;  // up_ from the lowest level to the highest
  std::vector<std::unique_ptr<UNetStage>> middle_;
  std::unique_ptr<GroupNorm> output_norm_;
  std::unique_ptr<Conv2d> output_;
};

}  // namespace haze

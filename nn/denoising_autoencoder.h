#pragma once

#include <memory>
#include <string>
#include <vector>

#include "haze/nn/image_blocks.h"
#include "haze/nn/positions.h"
#include "haze/nn/timed_network.h"

namespace haze {

struct DenoisingAutoencoderConfig {
  Shape image = {1, 16, 16};                     // channels, height, width
  int64_t outputs = 1;                           // what comes out has so many times the image's channels
  int64_t width = 32;                            // channels of the first level
  std::vector<int64_t> multipliers = {1, 2, 2};  // of each level's channels; a level has half the height of
                                                 // the one above
  int64_t groups = 8;
};

/// A denoising autoencoder (Vincent et al. 2008) that knows the time: an encoder of convolutions down to the
/// smallest level, which is all that the decoder sees. Unlike a U-Net it has no skip connections. Encoder and
/// decoder have two ConvBlocks a level; the last convolution starts as zero.
class DenoisingAutoencoder : public TimedNetwork {
 public:
  /// Throws Error where an extent is not positive, height or width is not a multiple of 2^(levels - 1), or
  /// the groups do not divide the channels.
  DenoisingAutoencoder(const DenoisingAutoencoderConfig& config, Generator& generator);

  /// x [n, channels, height, width], t float32 [n] in [0, 1] -> [n, outputs channels, height, width].
  Variable forward(const Variable& x, const Tensor& t, const ForwardContext& context = {}) const override;

 private:
  struct Step {
    bool doubles;  // the height and width of its input
    std::unique_ptr<ConvBlock> block;
  };

  void add_step(const std::string& name, bool doubles, const ConvBlockConfig& block, Generator& generator);

  Shape image_;
  std::unique_ptr<TimeEmbedding> time_embedding_;
  std::vector<Step> steps_;  // the encoder's, then the decoder's
  std::unique_ptr<Conv2d> output_;
};

}  // namespace haze

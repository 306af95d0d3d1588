#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "haze/nn/image_blocks.h"
#include "haze/nn/positions.h"

namespace haze {

struct ClassifierConfig {
  Shape example = {2};  // [width] of a vector, [channels, height, width] of an image
  int64_t classes = 2;
  int64_t width =
      64;  // of a vector's hidden layers; an image's blocks have width, 2 width and 2 width channels
  int64_t groups = 8;  // of an image's norms; they divide width
  bool time = false;   // whether it also reads t: a classifier of noisy examples
};

/// Classes of vectors or small images. Vectors go through three layers h = SiLU(layer(h) + time). Images go
/// through three ConvBlocks, the second and third of which halve height and width, and the mean over pixels.
class Classifier : public Module {
 public:
  /// Throws Error where the example is neither vector nor image, and where an extent is not positive.
  Classifier(const ClassifierConfig& config, Generator& generator);

  /// x [n, example...], t float32 [n] in [0, 1] where the classifier reads it and undefined where not ->
  /// logits [n, classes]. Throws Error where a shape is wrong.
  Variable forward(const Variable& x, const Tensor& t = {}) const;
  /// The input of the last layer, [n, feature_width()], which a Frechet distance compares.
  Variable features(const Variable& x, const Tensor& t = {}) const;
  int64_t feature_width() const { return feature_width_; }

 private:
  void make_vector_layers(Generator& generator);
  void make_image_blocks(Generator& generator);
  void check_input(const Variable& x, const Tensor& t) const;

  ClassifierConfig config_;
  int64_t feature_width_ = 0;
  std::unique_ptr<TimeEmbedding> time_embedding_;   // null without time
  std::vector<std::unique_ptr<Linear>> layers_;     // of vectors
  std::vector<std::unique_ptr<ConvBlock>> blocks_;  // of images
  std::unique_ptr<Linear> output_;
};

}  // namespace haze

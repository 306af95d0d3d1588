#pragma once

#include <memory>
#include <vector>

#include "haze/nn/positions.h"
#include "haze/nn/timed_network.h"

namespace haze {

struct MlpNetworkConfig {
  int64_t width = 2;     // of a vector that goes in
  int64_t hidden = 128;  // width of each hidden layer
  int64_t layers = 3;    // hidden layers after the first
  int64_t outputs = 1;   // what comes out is so many vectors of the same width, side by side
};

/// Vectors and a time to vectors: input(x), then h = SiLU(layer(h) + time) for each hidden layer, then
/// output(h). `time` is the TimeEmbedding of t, the same for all layers.
class MlpNetwork : public TimedNetwork {
 public:
  /// Throws Error where an extent is not positive.
  MlpNetwork(const MlpNetworkConfig& config, Generator& generator);

  /// x [n, width], t float32 [n] in [0, 1] -> [n, outputs width].
  Variable forward(const Variable& x, const Tensor& t, const ForwardContext& context = {}) const override;

 private:
  Linear input_;
  TimeEmbedding time_embedding_;
  std::vector<std::unique_ptr<Linear>> layers_;
  Linear output_;
};

}  // namespace haze

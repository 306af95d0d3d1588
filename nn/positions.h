#pragma once

#include "haze/nn/layers.h"

namespace haze {

/// How a network knows the order of its tokens.
enum class PositionKind {
  learned,     // a vector for each position, added to the token's
  sinusoidal,  // fixed sines and cosines, added (Vaswani et al. 2017, section 3.5)
  rotary,      // queries and keys are turned by an angle that grows with the position (Su et al. 2021)
  none,        // the order is not known, or only as far as causal attention shows it
};

/// By name, as in a configuration; throws Error with the names there are.
PositionKind position_kind(std::string_view name);

/// Waves of the positions 0 to count - 1, float64 [count, width]: the sinusoidal embedding of each. A network
/// makes them once.
Tensor position_waves(int64_t count, int64_t width);

/// Cosines and sines of rotary positions, as rotary() takes them.
struct RotaryTable {
  Tensor cosine, sine;  // [positions of the table, head_size / 2]
  Tensor positions;     // int32 [rows]: where each row stands
};

/// Angles position x 10000^(-2i / head_size), from position_waves(count, head_size) rounded once to `dtype`,
/// for rows at `positions` int32 [rows]. Throws Error where head_size is odd.
RotaryTable rotary_table(const Tensor& waves, const Tensor& positions, Dtype dtype);

/// Time as a vector: a sinusoidal embedding of 1000 t through Linear - SiLU - Linear (Peebles and Xie 2023,
/// "DiT").
class TimeEmbedding : public Module {
 public:
  TimeEmbedding(int64_t width, Generator& generator);
  /// t float32 [count] in [0, 1] -> [count, width].
  Variable forward(const Tensor& t) const;

 private:
  static constexpr int64_t kFrequencies = 256;
  Linear first_, second_;
};

}  // namespace haze

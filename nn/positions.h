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

/// [count, width]: cos(x f_i) in the first half and sin(x f_i) in the second, f_i = max_period^(-i /
/// (width/2)); a zero column is appended where width is odd. `values` real [count]. (The order and
/// frequencies of Nichol and Dhariwal 2021.)
Tensor sinusoidal_embedding(const Tensor& values, int64_t width, double max_period = 10000);

/// Cosines and sines of rotary positions.
struct RotaryTable {
  Tensor cosine, sine;  // [rows, 1, head_size / 2]
};

/// Angles position x base^(-2i / head_size), for int32 positions [rows]. head_size must be even.
RotaryTable rotary_table(const Tensor& positions, int64_t head_size, Dtype dtype, double base = 10000);

/// x [rows, heads, head_size] with each pair (i, i + head_size/2) turned by its angle ("half-split" layout).
Variable apply_rotary(const Variable& x, const RotaryTable& table);

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

#include "haze/nn/transformer_config.h"

namespace haze {

Activation TransformerConfig::mlp_activation() const {
  return activation.value_or(norm == NormPlacement::post ? Activation::gelu : Activation::gelu_tanh);
}

double TransformerConfig::epsilon() const {
  return norm_epsilon.value_or(norm == NormPlacement::post ? 1e-12 : 1e-5);
}

const TransformerConfig& checked_config(const TransformerConfig& c) {
  if (c.hidden < 1 || c.layers < 1 || c.heads < 1 || c.mlp_ratio < 1 || c.max_length < 1) {
    fail("Transformer: hidden {}, layers {}, heads {}, mlp_ratio {} and max_length {} must be positive",
         c.hidden, c.layers, c.heads, c.mlp_ratio, c.max_length);
  }
  if (c.hidden % c.heads != 0)
    fail("Transformer: hidden {} is not a multiple of heads {}", c.hidden, c.heads);
  if (c.positions == PositionKind::rotary && c.hidden / c.heads % 2 != 0) {
    fail("Transformer: rotary positions need an even head size, hidden {} / heads {} is {}", c.hidden,
         c.heads, c.hidden / c.heads);
  }
  if (!(c.dropout >= 0 && c.dropout < 1)) fail("Transformer: dropout {} is not in [0, 1)", c.dropout);
  if (!(c.epsilon() > 0)) fail("Transformer: norm_epsilon {} is not positive", c.epsilon());
  if (c.adaptive() && c.norm != NormPlacement::pre)
    fail("Transformer: adaptive norms stand before attention and MLP, not after them");
  return c;
}

}  // namespace haze

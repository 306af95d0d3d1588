#include "haze/nn/transformer_settings.h"

#include "haze/engine/error.h"

namespace haze {

SettingsTable transformer_settings() {
  return {
      integer_setting("transformer.layers", 4, between(1, 1000), "transformer blocks"),
      integer_setting("transformer.hidden", 256, between(1, 65536), "width of a token's vector"),
      integer_setting("transformer.heads", 8, between(1, 1024), "attention heads; they divide hidden"),
      integer_setting("transformer.mlp_ratio", 4, between(1, 64), "width of the MLP, in multiples of hidden"),
      choice_setting("transformer.norm", "pre", {"pre", "post"},
                     "layer norms before a block's parts (GPT) or after them (BERT)"),
      choice_setting("transformer.time", "none", {"none", "adaptive"},
                     "how the network learns the time t: not at all, or by adaptive norms (DiT)"),
      choice_setting("transformer.positions", "learned", {"learned", "rotary", "sinusoidal"},
                     "position encoding"),
      real_setting("transformer.dropout", 0.0, from_to_below(0, 1),
                   "probability of dropping an activation in training"),
  };
}

TransformerConfig transformer_config(const Settings& settings, int64_t max_length) {
  TransformerConfig config;
  config.hidden = settings.integer("transformer.hidden");
  config.layers = settings.integer("transformer.layers");
  config.heads = settings.integer("transformer.heads");
  config.mlp_ratio = settings.integer("transformer.mlp_ratio");
  config.max_length = max_length;
  config.norm = settings.text("transformer.norm") == "post" ? NormPlacement::post : NormPlacement::pre;
  if (settings.text("transformer.time") == "adaptive") config.time = TimeConditioning::adaptive;
  config.positions = position_kind(settings.text("transformer.positions"));
  config.dropout = settings.real("transformer.dropout");
  constexpr const char* kCheckpoint = "train.checkpoint_activations";
  config.checkpoint_activations = settings.has(kCheckpoint) && settings.boolean(kCheckpoint);
  return config;
}

void check_transformer_settings(const Settings& settings) {
  const int64_t hidden = settings.integer("transformer.hidden");
  const int64_t heads = settings.integer("transformer.heads");
  if (hidden % heads != 0)
    fail("transformer.hidden {} is not a multiple of transformer.heads {}", hidden, heads);
  const std::string& positions = settings.text("transformer.positions");
  if (positions == "rotary" && hidden / heads % 2 != 0) {
    fail(
        "rotary positions need an even width of each head, and transformer.hidden {} / transformer.heads {} "
        "is {}",
        hidden, heads, hidden / heads);
  }
  if (positions == "sinusoidal" && hidden % 2 != 0)
    fail("sinusoidal positions need an even transformer.hidden, not {}", hidden);
  if (settings.text("transformer.time") == "adaptive" && settings.text("transformer.norm") == "post")
    fail("transformer.time adaptive goes with transformer.norm pre");
}

}  // namespace haze

#include "haze/nn/transformer_settings.h"

#include <array>
#include <optional>

#include "haze/engine/error.h"

namespace haze {
namespace {

template <typename Value>
struct Name {
  std::string_view name;
  Value value;
};

constexpr std::array<Name<TimeConditioning>, 5> kTimeConditionings = {
    {{"none", TimeConditioning::none},
     {"added", TimeConditioning::added},
     {"per-layer", TimeConditioning::per_layer},
     {"prefix", TimeConditioning::prefix},
     {"adaptive", TimeConditioning::adaptive}}};

constexpr std::array<Name<std::optional<Activation>>, 5> kActivations = {
    {{"auto", std::nullopt},
     {"gelu", Activation::gelu},
     {"gelu-tanh", Activation::gelu_tanh},
     {"relu", Activation::relu},
     {"silu", Activation::silu}}};

template <typename Value, size_t count>
std::vector<std::string> names_of(const std::array<Name<Value>, count>& table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

template <typename Value, size_t count>
Value value_of(const std::array<Name<Value>, count>& table, std::string_view name) {
  for (const auto& row : table) {
    if (row.name == name) return row.value;
  }
  fail("the program: '{}' is no choice of section [transformer]", name);
}

}  // namespace

SettingsTable transformer_settings(const NamedValues& defaults) {
  SettingsTable table = {
      integer_setting("transformer.layers", 4, between(1, 1000), "transformer blocks"),
      integer_setting("transformer.hidden", 256, between(1, 65536), "width of a token's vector"),
      integer_setting("transformer.heads", 8, between(1, 1024), "attention heads; they divide hidden"),
      integer_setting("transformer.mlp_ratio", 4, between(1, 64), "width of the MLP, in multiples of hidden"),
      choice_setting("transformer.norm", "pre", {"pre", "post"},
                     "layer norms before a block's parts (GPT) or after them (BERT)"),
      choice_setting(
          "transformer.time", "none", names_of(kTimeConditionings),
          "how the network learns the time t: not at all, added to its input (Li et al. 2022), added "
          "in each layer, as a prefix row (DiffusionBERT), by adaptive norms (DiT)"),
      choice_setting("transformer.positions", "learned", {"learned", "rotary", "sinusoidal", "none"},
                     "position encoding"),
      choice_setting("transformer.activation", "auto", names_of(kActivations),
                     "of the MLP; auto: gelu-tanh where norms come before, gelu where they come after"),
      real_setting("transformer.norm_epsilon", 0.0, at_least(0),
                   "added to the variance in layer norms; 0: 1e-5 where norms come before, 1e-12 after"),
      real_setting("transformer.dropout", 0.0, from_to_below(0, 1),
                   "probability of dropping an activation in training"),
      boolean_setting("transformer.checkpoint_activations", false,
                      "recompute blocks in backward: less memory, slower"),
  };
  for (Setting& setting : table) {
    for (const auto& [key, value] : defaults) {
      if (setting.key == key) setting.default_value = value;
    }
  }
  return table;
}

SettingsTable small_transformer_settings(NamedValues defaults) {
  defaults.insert(defaults.end(), {{"transformer.layers", int64_t{2}},
                                   {"transformer.hidden", int64_t{128}},
                                   {"transformer.heads", int64_t{4}}});
  return transformer_settings(defaults);
}

TransformerConfig transformer_config(const Settings& settings, int64_t max_length) {
  TransformerConfig config;
  config.hidden = settings.integer("transformer.hidden");
  config.layers = settings.integer("transformer.layers");
  config.heads = settings.integer("transformer.heads");
  config.mlp_ratio = settings.integer("transformer.mlp_ratio");
  config.max_length = max_length;
  config.norm = settings.text("transformer.norm") == "post" ? NormPlacement::post : NormPlacement::pre;
  config.time = value_of(kTimeConditionings, settings.text("transformer.time"));
  config.activation = value_of(kActivations, settings.text("transformer.activation"));
  if (const double epsilon = settings.real("transformer.norm_epsilon"); epsilon > 0)
    config.norm_epsilon = epsilon;
  config.positions = position_kind(settings.text("transformer.positions"));
  config.dropout = settings.real("transformer.dropout");
  config.checkpoint_activations = settings.boolean("transformer.checkpoint_activations");
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

#include "haze/nn/value_network.h"

#include <charconv>
#include <vector>

#include <fmt/ranges.h>

#include "haze/nn/denoising_autoencoder.h"
#include "haze/nn/mlp_network.h"
#include "haze/nn/unet.h"

namespace haze {
namespace {

constexpr const char* kKind = "network.kind";

// "1,2,2" as numbers of at least 1; an empty text is an empty list.
std::vector<int64_t> integer_list(const Settings& settings, const std::string& key) {
  const std::string& text = settings.text(key);
  std::vector<int64_t> result;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    const bool last = next == end;
    if (error != std::errc() || number < 1 || (!last && (*next != ',' || next + 1 == end)))
      fail("{} is a list of positive integers such as \"1,2,2\", not \"{}\"", key, text);
    result.push_back(number);
    at = last ? next : next + 1;
  }
  return result;
}

std::vector<int64_t> multipliers_of(const Settings& settings, const std::string& key) {
  std::vector<int64_t> result = integer_list(settings, key);
  if (result.empty()) fail("{} has a number for each level, and it is empty", key);
  return result;
}

MlpNetworkConfig mlp_config(const Settings& settings, const Shape& example, int64_t outputs) {
  return {.width = example.elements(),
          .hidden = settings.integer("mlp.hidden"),
          .layers = settings.integer("mlp.layers"),
          .outputs = outputs};
}

UNetConfig unet_config(const Settings& settings, const Shape& example, int64_t outputs) {
  return {.image = example,
          .outputs = outputs,
          .width = settings.integer("unet.width"),
          .multipliers = multipliers_of(settings, "unet.multipliers"),
          .blocks = settings.integer("unet.blocks"),
          .attention = integer_list(settings, "unet.attention"),
          .heads = settings.integer("unet.heads"),
          .groups = settings.integer("unet.groups"),
          .dropout = settings.real("unet.dropout")};
}

DenoisingAutoencoderConfig autoencoder_config(const Settings& settings, const Shape& example,
                                              int64_t outputs) {
  return {.image = example,
          .outputs = outputs,
          .width = settings.integer("autoencoder.width"),
          .multipliers = multipliers_of(settings, "autoencoder.multipliers"),
          .groups = settings.integer("autoencoder.groups")};
}

std::string kind_for(const Settings& settings, const Shape& example) {
  const std::string& kind = settings.text(kKind);
  if (kind != "auto") return kind;
  if (example.rank() == 1) return "mlp";
  if (example.rank() == 3) return "unet";
  fail("{} auto is for vectors and images, and an example has shape {}", kKind, example.to_string());
}

void require_defaults_of_others(const Settings& settings, const std::string& kind) {
  for (const Setting& row : value_network_settings()) {
    if (row.with_key != kKind || row.with_values.front() == kind) continue;
    if (settings.value(row.key) == row.default_value) continue;
    fail("{} is for {} {}, and the network is {}", row.key, kKind, row.with_values.front(), kind);
  }
}

std::unique_ptr<TimedNetwork> make_network(const std::string& kind, const Settings& settings,
                                           const Shape& example, int64_t outputs, Generator& generator) {
  if (kind == "unet") return std::make_unique<UNet>(unet_config(settings, example, outputs), generator);
  if (kind == "autoencoder") {
    return std::make_unique<DenoisingAutoencoder>(autoencoder_config(settings, example, outputs), generator);
  }
  return std::make_unique<MlpNetwork>(mlp_config(settings, example, outputs), generator);
}

void check_groups(const Settings& settings, const std::string& section) {
  const int64_t width = settings.integer(section + ".width"), groups = settings.integer(section + ".groups");
  if (width % groups != 0) fail("{0}.width {1} is not a multiple of {0}.groups {2}", section, width, groups);
}

}  // namespace

SettingsTable value_network_settings() {
  SettingsTable table = {since(3,
                               choice_setting(kKind, "auto", {"auto", "mlp", "unet", "autoencoder"},
                                              "auto: mlp of vectors, unet of images"),
                               std::string("mlp"))};
  const auto only = [&](const char* kind, int64_t version, SettingsTable rows) {
    for (Setting& row : rows) table.push_back(since(version, only_with(std::move(row), kKind, {kind})));
  };
  const char* const multipliers = "of the width, one for each level; each level halves the image above";
  only("mlp", 1,
       {integer_setting("mlp.layers", 3, between(1, 1000), "hidden layers"),
        integer_setting("mlp.hidden", 128, between(1, 65536), "width of a hidden layer")});
  only("unet", 3,
       {integer_setting("unet.width", 32, between(1, 65536), "channels of the first level"),
        text_setting("unet.multipliers", "1,2,2", multipliers),
        integer_setting("unet.blocks", 2, between(1, 1000), "residual blocks of a level"),
        text_setting("unet.attention", "",
                     "heights at which each block has attention, such as \"16,8\"; the middle always has"),
        integer_setting("unet.heads", 1, between(1, 1024), "attention heads; they divide the channels"),
        integer_setting("unet.groups", 8, between(1, 65536), "of group norms; they divide the width"),
        real_setting("unet.dropout", 0.0, from_to_below(0, 1),
                     "probability of dropping an activation in training")});
  only(
      "autoencoder", 3,
      {integer_setting("autoencoder.width", 32, between(1, 65536), "channels of the first level"),
       text_setting("autoencoder.multipliers", "1,2,2", multipliers),
       integer_setting("autoencoder.groups", 8, between(1, 65536), "of group norms; they divide the width")});
  return table;
}

void check_value_network_settings(const Settings& settings) {
  if (const std::string& kind = settings.text(kKind); kind != "auto")
    require_defaults_of_others(settings, kind);
  multipliers_of(settings, "unet.multipliers");
  multipliers_of(settings, "autoencoder.multipliers");
  integer_list(settings, "unet.attention");
  check_groups(settings, "unet");
  check_groups(settings, "autoencoder");
}

ValueNetwork::ValueNetwork(const Settings& settings, const Shape& example, int64_t outputs,
                           Generator& generator)
    : example_(example), output_(example) {
  if (example.rank() == 0 || example.elements() < 1)
    fail("a network of values: examples of shape {} have no numbers", example.to_string());
  if (outputs < 1) fail("a network of values: {} outputs", outputs);
  kind_ = kind_for(settings, example);
  require_defaults_of_others(settings, kind_);
  output_[0] *= outputs;
  network_ = make_network(kind_, settings, example, outputs, generator);
  add_module("", *network_);
}

Variable ValueNetwork::forward(const Variable& x, const Tensor& t, const ForwardContext& context) const {
  const int64_t n = x.rank() == 0 ? 0 : x.size(0);
  if (!(x.shape() == batch_shape(n, example_))) {
    fail("a network of values: x has shape {}, it takes examples of {}", x.shape().to_string(),
         example_.to_string());
  }
  if (kind_ != "mlp") return network_->forward(x, t, context);
  return reshape(network_->forward(reshape(x, {n, example_.elements()}), t, context),
                 batch_shape(n, output_));
}

}  // namespace haze

#include "haze/diffusion/discrete/version_1.h"

#include <algorithm>

#include "haze/engine/error.h"

namespace haze {
namespace {

// The values that are still to be renamed.
class Version1 {
 public:
  explicit Version1(NamedValues values) : values_(std::move(values)) {}

  SettingValue take(const std::string& key) {
    const auto found =
        std::find_if(values_.begin(), values_.end(), [&](const auto& pair) { return pair.first == key; });
    if (found == values_.end()) fail("settings of version 1: {} is missing", key);
    SettingValue value = std::move(found->second);
    values_.erase(found);
    return value;
  }

  std::string take_text(const std::string& key) {
    const SettingValue value = take(key);
    if (!std::holds_alternative<std::string>(value)) {
      fail("settings of version 1: {} is {}, which is no text", key, print_value(value));
    }
    return std::get<std::string>(value);
  }

  NamedValues rest() { return std::move(values_); }

 private:
  NamedValues values_;
};

void add_transformer(Version1& old, NamedValues& result) {
  for (const char* name : {"layers", "hidden", "heads", "mlp_ratio", "positions", "dropout"}) {
    result.emplace_back(std::string("transformer.") + name, old.take(std::string("model.") + name));
  }
  result.emplace_back("transformer.checkpoint_activations", old.take("train.checkpoint_activations"));
  const std::string norm = old.take_text("model.norm");
  const bool adaptive = norm == "adaptive";
  result.emplace_back("transformer.activation", std::string("auto"));  // means what version 1 did
  result.emplace_back("transformer.norm_epsilon", 0.0);                // likewise
  result.emplace_back("transformer.norm", adaptive ? std::string("pre") : norm);
  result.emplace_back("transformer.time", std::string(adaptive ? "adaptive" : "none"));
}

void add_mdlm(Version1& old, bool adaptive, NamedValues& result) {
  const std::string schedule = old.take_text("diffusion.schedule"), masks = old.take_text("diffusion.masks");
  result.emplace_back("mdlm.schedule", schedule == "auto" ? std::string("log-linear") : schedule);
  result.emplace_back("mdlm.polynomial_power", old.take("diffusion.polynomial_power"));
  const char* automatic = adaptive ? "independent" : "exact-count";
  result.emplace_back("mdlm.draw", masks == "auto" ? std::string(automatic) : masks);
  result.emplace_back("mdlm.antithetic", old.take("diffusion.antithetic"));
  for (const char* of_discrete_time : {"diffusion.steps", "diffusion.auxiliary_weight"}) {
    old.take(of_discrete_time);
  }
}

void add_d3pm(Version1& old, NamedValues& result) {
  const std::string schedule = old.take_text("diffusion.schedule");
  result.emplace_back("d3pm.steps", old.take("diffusion.steps"));
  result.emplace_back("d3pm.schedule", schedule == "auto" ? std::string("reciprocal") : schedule);
  result.emplace_back("d3pm.auxiliary", old.take("diffusion.auxiliary_weight"));
  result.emplace_back("d3pm.auxiliary_form", std::string("paper"));
  // Version 1 had this setting and drew every t by itself in discrete time, whatever it said.
  result.emplace_back("d3pm.antithetic", false);
  for (const char* of_continuous_time :
       {"diffusion.polynomial_power", "diffusion.masks", "diffusion.antithetic"}) {
    old.take(of_continuous_time);
  }
}

}  // namespace

NamedValues settings_from_version_1(NamedValues values) {
  Version1 old(std::move(values));
  const std::string time = old.take_text("diffusion.time");
  if (time != "continuous" && time != "discrete") {
    fail("settings of version 1: diffusion.time '{}' is not continuous or discrete", time);
  }
  NamedValues result;
  result.emplace_back("model", std::string(time == "discrete" ? "d3pm" : "mdlm"));
  add_transformer(old, result);
  const bool adaptive = std::get<std::string>(result.back().second) == "adaptive";
  if (time == "discrete") {
    add_d3pm(old, result);
  } else {
    add_mdlm(old, adaptive, result);
  }
  for (const char* name : {"sampler", "steps", "temperature", "top_p", "top_k"}) {
    const std::string key = std::string("sample.") + name;
    result.emplace_back(key, old.take(key));
  }
  for (auto& pair : old.rest()) result.push_back(std::move(pair));
  return result;
}

}  // namespace haze

#include "haze/diffusion/discrete/version_1.h"

#include <algorithm>
#include <map>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"
#include "haze/engine/error.h"

namespace haze {
namespace {

// What a run of version 1 saved in its sections [model], [diffusion] and [sample], and a key of others.
NamedValues saved(const std::string& time, const std::string& schedule, const std::string& norm,
                  const std::string& masks) {
  return {{"data.max_length", int64_t{64}},
          {"model.layers", int64_t{1}},
          {"model.hidden", int64_t{8}},
          {"model.heads", int64_t{2}},
          {"model.mlp_ratio", int64_t{1}},
          {"model.norm", norm},
          {"model.positions", std::string("learned")},
          {"model.dropout", 0.0},
          {"diffusion.time", time},
          {"diffusion.steps", int64_t{50}},
          {"diffusion.schedule", schedule},
          {"diffusion.polynomial_power", 3.0},
          {"diffusion.auxiliary_weight", 0.01},
          {"diffusion.masks", masks},
          {"diffusion.antithetic", true},
          {"sample.sampler", std::string("ancestral")},
          {"sample.steps", int64_t{64}},
          {"sample.temperature", 1.0},
          {"sample.top_p", 0.9},
          {"sample.top_k", int64_t{0}},
          {"sample.count", int64_t{8}},
          {"train.checkpoint_activations", true}};
}

std::map<std::string, std::string> printed(const NamedValues& values) {
  std::map<std::string, std::string> result;
  for (const auto& [key, value] : values) result[key] = print_value(value);
  REQUIRE(result.size() == values.size());  // no key twice
  return result;
}

}  // namespace

TEST_CASE("a continuous run of version 1 becomes mdlm, with every setting under its new name") {
  CHECK(printed(settings_from_version_1(saved("continuous", "cosine", "adaptive", "independent"))) ==
        std::map<std::string, std::string>{{"model", "\"mdlm\""},
                                           {"transformer.layers", "1"},
                                           {"transformer.hidden", "8"},
                                           {"transformer.heads", "2"},
                                           {"transformer.mlp_ratio", "1"},
                                           {"transformer.norm", "\"pre\""},
                                           {"transformer.time", "\"adaptive\""},
                                           {"transformer.positions", "\"learned\""},
                                           {"transformer.dropout", "0.0"},
                                           {"transformer.activation", "\"auto\""},
                                           {"transformer.norm_epsilon", "0.0"},
                                           {"transformer.checkpoint_activations", "true"},
                                           {"mdlm.schedule", "\"cosine\""},
                                           {"mdlm.polynomial_power", "3.0"},
                                           {"mdlm.draw", "\"independent\""},
                                           {"mdlm.antithetic", "true"},
                                           {"sample.sampler", "\"ancestral\""},
                                           {"sample.steps", "64"},
                                           {"sample.temperature", "1.0"},
                                           {"sample.top_p", "0.9"},
                                           {"sample.top_k", "0"},
                                           {"sample.count", "8"},
                                           {"data.max_length", "64"}});
}

TEST_CASE("a discrete run of version 1 becomes d3pm: lambda as printed, times drawn one by one, as it was") {
  CHECK(printed(settings_from_version_1(saved("discrete", "reciprocal", "post", "independent"))) ==
        std::map<std::string, std::string>{{"model", "\"d3pm\""},
                                           {"transformer.layers", "1"},
                                           {"transformer.hidden", "8"},
                                           {"transformer.heads", "2"},
                                           {"transformer.mlp_ratio", "1"},
                                           {"transformer.norm", "\"post\""},
                                           {"transformer.time", "\"none\""},
                                           {"transformer.positions", "\"learned\""},
                                           {"transformer.dropout", "0.0"},
                                           {"transformer.activation", "\"auto\""},
                                           {"transformer.norm_epsilon", "0.0"},
                                           {"transformer.checkpoint_activations", "true"},
                                           {"d3pm.steps", "50"},
                                           {"d3pm.schedule", "\"reciprocal\""},
                                           {"d3pm.auxiliary", "0.01"},
                                           {"d3pm.auxiliary_form", "\"paper\""},
                                           {"d3pm.antithetic", "false"},
                                           {"sample.sampler", "\"ancestral\""},
                                           {"sample.steps", "64"},
                                           {"sample.temperature", "1.0"},
                                           {"sample.top_p", "0.9"},
                                           {"sample.top_k", "0"},
                                           {"sample.count", "8"},
                                           {"data.max_length", "64"}});
}

TEST_CASE("the models know and accept every setting that a run of version 1 becomes") {
  for (const ModelInfo& info : {mdlm_model(), d3pm_model()}) {
    const bool continuous = info.name == "mdlm";
    Settings settings(info.settings);
    for (const auto& [key, value] :
         settings_from_version_1(saved(continuous ? "continuous" : "discrete",
                                       continuous ? "polynomial" : "linear", "pre", "exact-count"))) {
      if (key == "model") {
        CHECK(value == SettingValue(info.name));
      } else if (settings.has(key)) {
        settings.set(key, value);
      } else {
        CHECK((key == "data.max_length" || key == "sample.count"));  // of other tables
      }
    }
    info.resolve(settings);
    CHECK(settings.real("sample.top_p") == 0.9);
    if (continuous) CHECK(settings.text("mdlm.draw") == "exact-count");
  }
}

TEST_CASE("'auto' of version 1 stands for what version 1 took it for") {
  const auto value = [](const NamedValues& values, const std::string& key) {
    return printed(settings_from_version_1(values)).at(key);
  };
  CHECK(value(saved("continuous", "auto", "pre", "auto"), "mdlm.schedule") == "\"log-linear\"");
  CHECK(value(saved("continuous", "auto", "pre", "auto"), "mdlm.draw") == "\"exact-count\"");
  CHECK(value(saved("continuous", "auto", "adaptive", "auto"), "mdlm.draw") == "\"independent\"");
  CHECK(value(saved("discrete", "auto", "pre", "auto"), "d3pm.schedule") == "\"reciprocal\"");
}

TEST_CASE("settings of version 1 name the key that is missing or wrong") {
  for (const std::string time : {"continuous", "discrete"}) {
    const NamedValues all = saved(time, "cosine", "pre", "independent");
    for (const auto& [key, value] : all) {
      NamedValues rest = all;
      std::erase_if(rest, [&name = key](const auto& pair) { return pair.first == name; });
      if (key.starts_with("data.") || key == "sample.count") {
        CHECK(settings_from_version_1(rest).size() + 1 == settings_from_version_1(all).size());
      } else {
        CHECK_THROWS_WITH_AS(settings_from_version_1(rest),
                             fmt::format("settings of version 1: {} is missing", key).c_str(), Error);
      }
    }
  }
  CHECK_THROWS_WITH_AS(settings_from_version_1(saved("both", "cosine", "pre", "independent")),
                       "settings of version 1: diffusion.time 'both' is not continuous or discrete", Error);
  NamedValues wrong = saved("discrete", "cosine", "pre", "independent");
  for (auto& [key, value] : wrong) {
    if (key == "model.norm") value = true;
  }
  CHECK_THROWS_WITH_AS(settings_from_version_1(wrong),
                       "settings of version 1: model.norm is true, which is no text", Error);
}

}  // namespace haze

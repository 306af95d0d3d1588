#include "haze/tools/run/models.h"

#include <algorithm>

#include <fmt/format.h>

#include "haze/diffusion/baselines/autoregressive.h"
#include "haze/diffusion/baselines/hidden_classifier.h"
#include "haze/diffusion/baselines/prefix_classifier.h"
#include "haze/diffusion/baselines/spelling_tagger.h"
#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"
#include "haze/diffusion/discrete/version_1.h"
#include "haze/diffusion/gaussian/ddpm.h"
#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_parser.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_tagger.h"
#include "haze/diffusion/gaussian/gan.h"
#include "haze/diffusion/gaussian/noisy_classifier.h"
#include "haze/diffusion/gaussian/score_sde.h"
#include "haze/diffusion/gaussian/vae.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

std::vector<ModelRow>& table() {
  static std::vector<ModelRow> rows = {
      {mdlm_model(), "configs/quickstart.toml"},
      {d3pm_model(), "configs/d3pm.toml"},
      {autoregressive_model(), "configs/autoregressive.toml"},
      {prefix_classifier_model(), "configs/prefix-classifier.toml"},
      {hidden_classifier_model(), "configs/hidden-classifier.toml"},
      {vae_model(), "configs/vae.toml"},
      {gan_model(), "configs/gan.toml"},
      {ddpm_model(), "configs/ddpm.toml"},
      {diffusion_lm_model(), "configs/diffusion-lm.toml"},
      {word_classifier_model(), "configs/word-classifier.toml"},
      {word_tagger_model(), "configs/word-tagger.toml"},
      {word_parser_model(), "configs/word-parser.toml"},
      {spelling_tagger_model(), "configs/spelling-tagger.toml"},
      {score_sde_model(), "configs/score-sde.toml"},
      {noisy_classifier_model(), "configs/noisy-classifier.toml"},
  };
  return rows;
}

// Whether the model cannot be made without other runs; those of section [sample] may be missing.
bool stands_on_runs(const ModelInfo& info) {
  return std::any_of(info.frozen.begin(), info.frozen.end(),
                     [](const std::string& key) { return !is_of_sampling(key); });
}

}  // namespace

const std::vector<ModelRow>& model_table() {
  return table();
}

void add_model(ModelRow row) {
  for (const ModelRow& known : table()) {
    if (known.info.name == row.info.name) fail("there is a model '{}' already", row.info.name);
  }
  table().push_back(std::move(row));
}

const ModelRow& model_row(const std::string& name, const std::string& where) {
  const std::vector<ModelRow>& rows = model_table();
  const auto found =
      std::find_if(rows.begin(), rows.end(), [&](const ModelRow& row) { return row.info.name == name; });
  if (found != rows.end()) return *found;
  std::vector<std::string> names;
  for (const ModelRow& row : rows) names.push_back(row.info.name);
  const std::string nearest = nearest_name(names, name);
  if (!nearest.empty()) fail("{}there is no model '{}'; did you mean '{}'?", where, name, nearest);
  fail("{}there is no model '{}'; the models are {}", where, name, fmt::join(names, ", "));
}

bool is_of_sampling(std::string_view key) {
  return key.starts_with("sample.");
}

NamedValues settings_of_version_1(NamedValues values) {
  return settings_from_version_1(std::move(values));
}

std::vector<std::string> abilities_of(const ModelRow& row) {
  if (stands_on_runs(row.info)) return {"stands on other runs"};
  Settings settings(settings_table(row.info));
  if (row.info.resolve) row.info.resolve(settings);
  Generator generator(0);
  const DataFacts facts{.vocabulary = 8,
                        .mask_id = 8,
                        .end_id = 1,
                        .unknown_id = 2,
                        .max_length = 8,
                        .max_source_length = 8,
                        .labels = 2,
                        .tags = 2,
                        .spelling_buckets = 1,
                        .value_shape = {2}};
  const FrozenModels none(row.info.frozen.size(), FrozenModel{nullptr, {}, settings});
  const std::unique_ptr<Model> model = row.info.make(settings, facts, none, generator);
  std::vector<std::string> abilities;
  if (const Likelihood* likelihood = model->likelihood())
    abilities.push_back(likelihood->kind() == LikelihoodKind::bound ? "bound" : "likelihood");
  if (const Sampler* sampler = model->sampler()) {
    abilities.push_back("samples");
    const Uses uses = sampler->uses();
    if (uses.prompt) abilities.push_back("prompts");
    if (uses.gaps) abilities.push_back("infilling");
  }
  return abilities;
}

}  // namespace haze

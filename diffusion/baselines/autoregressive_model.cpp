#include <algorithm>

#include "haze/diffusion/baselines/ancestral_sampling.h"
#include "haze/diffusion/baselines/autoregressive.h"
#include "haze/diffusion/baselines/beam_search.h"
#include "haze/diffusion/baselines/fudge.h"
#include "haze/diffusion/baselines/hidden_classifier.h"
#include "haze/diffusion/baselines/pplm.h"
#include "haze/diffusion/baselines/prefix_classifier.h"
#include "haze/diffusion/token_filter_settings.h"
#include "haze/nn/transformer_settings.h"

/// The settings of the model "autoregressive", and its ways of decoding.
namespace haze {
namespace {

bool is_steered(const std::string& sampler) {
  return sampler == "fudge" || sampler == "pplm";
}

// The tokens of a request that are given, all of which must come first.
std::vector<int32_t> prompt_of(const Request& request, size_t index) {
  if (request.fixed.size() != request.start.size()) {
    fail("sampling: text {} has {} tokens and {} marks of which are fixed", index, request.start.size(),
         request.fixed.size());
  }
  const auto first_open = std::find(request.fixed.begin(), request.fixed.end(), 0);
  if (std::find_if(first_open, request.fixed.end(), [](uint8_t mark) { return mark != 0; }) !=
      request.fixed.end())
    fail("sampling: text {} has gaps; an autoregressive model goes on where the given tokens end", index);
  return {request.start.begin(), request.start.begin() + (first_open - request.fixed.begin())};
}

// The classifier of sample.sampler `sampler`. Throws Error where there is none, or one of another kind.
template <typename Classifier>
const Classifier& classifier_for(const std::string& sampler, const char* kind,
                                 const std::shared_ptr<const Model>& classifier) {
  if (!classifier) fail("sample.sampler {} needs a {}; name its run in sample.classifier", sampler, kind);
  const auto* result = dynamic_cast<const Classifier*>(classifier.get());
  if (!result)
    fail("sample.sampler {} needs a {}, and sample.classifier names a run of another model", sampler, kind);
  return *result;
}

// A classifier of hidden states knows those of the weights that it was trained on alone.
void check_same_weights(const CausalTransformer& learned, const CausalTransformer& network) {
  const auto numbers = [](const CausalTransformer& model) {
    return model.token_vectors().value().to_vector<double>();
  };
  if (numbers(learned) != numbers(network))
    fail("sample.classifier was trained on hidden states of another run, or of other weights of this one");
}

std::shared_ptr<const Model> classifier_of(const FrozenModels& frozen, const DataFacts& facts) {
  if (frozen.empty() || !frozen.front().model) return nullptr;
  const FrozenModel& classifier = frozen.front();
  if (!dynamic_cast<const PrefixClassifier*>(classifier.model.get()) &&
      !dynamic_cast<const HiddenClassifier*>(classifier.model.get())) {
    fail(
        "sample.classifier names a run of the model {}; it must be a prefix_classifier (fudge) or a "
        "hidden_classifier (pplm)",
        classifier.settings.text("model"));
  }
  if (facts.max_source_length == 0)
    fail("sample.classifier: the model has learned texts without sources, which are the controls");
  check_same_texts("sample.classifier", classifier.facts, facts);
  return classifier.model;
}

SettingsTable fudge_settings() {
  return {
      real_setting("sample.fudge_weight", 1, at_least(0),
                   "lambda of log p(token) + lambda log p(control); 1 is Bayes' rule (fudge)"),
      real_setting("sample.fudge_prior", 0.001, Interval{0, 1, /*minimum_open=*/true, /*maximum_open=*/true},
                   "share of texts that have the control (fudge)"),
      integer_setting("sample.fudge_candidates", 200, at_least(1),
                      "most probable tokens whose log p(control) is asked for (fudge)"),
  };
}

SettingsTable pplm_settings() {
  return {
      integer_setting("sample.pplm_iterations", 3, between(0, 1000), "gradient steps a token (pplm)"),
      real_setting("sample.pplm_step", 0.02, at_least(0), "size of these steps (pplm)"),
      real_setting("sample.pplm_gamma", 1.5, between(0, 10),
                   "a gradient is divided by its norm to this power (pplm)"),
      real_setting("sample.pplm_kl", 0.01, at_least(0),
                   "weight of the divergence from the model's own distribution (pplm)"),
      real_setting("sample.pplm_fusion", 0.9, between(0, 1),
                   "share of the changed distribution in the geometric mean (pplm)"),
      integer_setting("sample.pplm_window", 0, at_least(0), "last rows that change; 0: all (pplm)"),
  };
}

SettingsTable settings_table() {
  SettingsTable table = {
      boolean_setting("autoregressive.tied_embeddings", false,
                      "the head's weight is that of the token embedding"),
      since(4, boolean_setting("autoregressive.ignore_source", false,
                               "of pairs it learns the texts alone: the model that fudge and pplm steer")),
  };
  const auto add = [&](SettingsTable rows, const std::vector<std::string>& samplers) {
    for (Setting& row : rows) table.push_back(only_with(std::move(row), "sample.sampler", samplers));
  };
  for (Setting& row : transformer_settings()) table.push_back(std::move(row));
  table.push_back(choice_setting("sample.sampler", "ancestral", {"ancestral", "beam", "fudge", "pplm"},
                                 "how a text is drawn, searched for, or led to its source, a control"));
  for (Setting& row : token_filter_settings()) {
    if (row.key == "sample.top_k") {
      add({row}, {"ancestral"});
    } else {
      add({row}, {"ancestral", "fudge", "pplm"});
    }
  }
  add({integer_setting("sample.beam_size", 4, between(1, 1000),
                       "hypotheses that are kept at each step (beam)"),
       real_setting("sample.length_penalty", 0.6, between(0, 10),
                    "exponent alpha of ((5 + length) / 6)^alpha, by which log p is divided (beam)")},
      {"beam"});
  const size_t older = table.size();
  table.push_back(text_setting("sample.classifier", "",
                               "run of a prefix_classifier (fudge) or a hidden_classifier (pplm)"));
  add({integer_setting("sample.control_top_k", 10, at_least(0),
                       "the most probable tokens after control only; 0: all (fudge, pplm)")},
      {"fudge", "pplm"});
  add(fudge_settings(), {"fudge"});
  add(pplm_settings(), {"pplm"});
  for (size_t i = older; i < table.size(); ++i) table[i] = since(4, std::move(table[i]));
  return table;
}

}  // namespace

std::vector<Continuation> Autoregressive::continuations_of(std::span<const Request> requests,
                                                           const std::string& sampler) const {
  std::vector<Continuation> continuations;
  for (size_t i = 0; i < requests.size(); ++i) {
    Continuation one{.context = requests[i].source, .prompt = prompt_of(requests[i], i)};
    const bool has_source = !one.context.empty();
    if (is_steered(sampler)) {
      if (!has_source) fail("sampling: text {} has no source text, the control that {} leads to", i, sampler);
    } else if (has_source && !reads_sources() && options_.classifier) {
      fail("sampling: text {} has a source text, and sample.sampler {} leads to none; fudge and pplm do", i,
           sampler);
    } else if (has_source != reads_sources()) {
      fail("sampling: text {} has {} source text, and this model has learned texts {} one", i,
           has_source ? "a" : "no", reads_sources() ? "with" : "without");
    }
    one.context.push_back(facts_.end_id);
    continuations.push_back(std::move(one));
  }
  return continuations;
}

std::unique_ptr<LanguageModel> Autoregressive::steered_model(const SampleOptions& options) const {
  const Settings& settings = options.settings;
  const std::string& sampler = settings.text("sample.sampler");
  if (sampler == "fudge") {
    const auto& classifier =
        classifier_for<PrefixClassifier>(sampler, "prefix_classifier", options_.classifier);
    return std::make_unique<Fudge>(network_, classifier,
                                   FudgeOptions{.weight = settings.real("sample.fudge_weight"),
                                                .prior = settings.real("sample.fudge_prior"),
                                                .candidates = settings.integer("sample.fudge_candidates"),
                                                .end_id = facts_.end_id,
                                                .reads_control = reads_sources(),
                                                .forbidden_tokens = options.forbidden_tokens});
  }
  const auto& classifier =
      classifier_for<HiddenClassifier>(sampler, "hidden_classifier", options_.classifier);
  if (reads_sources())
    fail(
        "sample.sampler pplm leads a model that reads no source; train one with "
        "autoregressive.ignore_source");
  check_same_weights(classifier.language_model().network(), network_);
  return std::make_unique<Pplm>(network_, classifier,
                                PplmOptions{.iterations = settings.integer("sample.pplm_iterations"),
                                            .step_size = settings.real("sample.pplm_step"),
                                            .gamma = settings.real("sample.pplm_gamma"),
                                            .kl_weight = settings.real("sample.pplm_kl"),
                                            .fusion = settings.real("sample.pplm_fusion"),
                                            .window = settings.integer("sample.pplm_window"),
                                            .end_id = facts_.end_id});
}

Samples Autoregressive::sample(std::span<const Request> requests, const SampleOptions& options,
                               Generator& generator) const {
  const Settings& settings = options.settings;
  const std::string& sampler = settings.text("sample.sampler");
  const std::vector<Continuation> continuations = continuations_of(requests, sampler);
  const TextEnd end{.end_id = facts_.end_id, .max_length = facts_.max_length};
  if (sampler == "beam") {
    return beam_search(network_, continuations, end,
                       {.beam_size = settings.integer("sample.beam_size"),
                        .length_penalty = settings.real("sample.length_penalty"),
                        .forbidden_tokens = options.forbidden_tokens,
                        .observer = options.observer});
  }
  AncestralOptions ancestral{.filter = token_filter(settings, options.forbidden_tokens),
                             .observer = options.observer};
  if (!is_steered(sampler)) return sample_continuations(network_, continuations, end, ancestral, generator);
  ancestral.filter.top_k = settings.integer("sample.control_top_k");
  return sample_continuations(*steered_model(options), continuations, end, ancestral, generator);
}

ModelInfo autoregressive_model() {
  ModelInfo info;
  info.name = "autoregressive";
  info.paper = "Radford et al. 2019, Language models are unsupervised multitask learners";
  info.tasks = {"texts", "pairs"};
  info.settings = settings_table();
  info.frozen = {"sample.classifier"};
  info.resolve = [](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") != "none") {
      fail("an autoregressive model has no time t: transformer.time must be none, not {}",
           settings.text("transformer.time"));
    }
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    // A row of the source each, the start symbol, and all of the text but its last token.
    const TransformerConfig config = transformer_config(settings, facts.max_source_length + facts.max_length);
    return std::make_unique<Autoregressive>(
        config,
        AutoregressiveOptions{.tied_embeddings = settings.boolean("autoregressive.tied_embeddings"),
                              .ignores_source = settings.boolean("autoregressive.ignore_source"),
                              .classifier = classifier_of(frozen, facts),
                              .is_led = is_steered(settings.text("sample.sampler"))},
        facts, generator);
  };
  return info;
}

}  // namespace haze

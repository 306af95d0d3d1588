#include "haze/diffusion/baselines/prefix_classifier.h"

#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

constexpr const char* kName = "prefix_classifier";

const DataFacts& with_controls(const DataFacts& facts) {
  if (facts.max_source_length == 0) fail("{}: the texts have no sources, which are the controls", kName);
  return facts;
}

std::shared_ptr<ControlledPrefixes> controlled_prefixes(const TextBatch& texts, const TextBatch& controls,
                                                        const ControlPairs& pairs, int32_t end_id) {
  std::vector<int32_t> ids, rows;
  std::vector<int64_t> lengths;
  std::vector<double> signs, weights;
  const auto all = static_cast<double>(texts.ids.size(0));
  for (size_t i = 0; i < pairs.text.size(); ++i) {
    const size_t first = ids.size();
    const std::span<const int32_t> control = controls.tokens(pairs.control[i]);
    const std::span<const int32_t> text = texts.tokens(pairs.text[i]);
    ids.insert(ids.end(), control.begin(), control.end());
    ids.push_back(end_id);
    for (const int32_t token : text) {
      rows.push_back(static_cast<int32_t>(ids.size()));
      signs.push_back(pairs.sign[i]);
      weights.push_back(pairs.weight[i] / all);
      ids.push_back(token);
    }
    lengths.push_back(static_cast<int64_t>(ids.size() - first));
  }
  auto result = std::make_shared<ControlledPrefixes>();
  result->ids = Tensor::from(ids, {std::ssize(ids)});
  result->sequences = Sequences::of_lengths(lengths);
  result->rows = Tensor::from(rows, {std::ssize(rows)});
  result->signs = Tensor::from(signs, {std::ssize(signs)});
  result->weights = Tensor::from(weights, {std::ssize(weights)});
  return result;
}

}  // namespace

class CachedScorer : public PrefixScorer {
 public:
  explicit CachedScorer(const PrefixClassifier& classifier) : classifier_(classifier) {}

  void read(const Tensor& tokens) override {
    const NoGradient scope;
    forward(tokens, {.cache = &cache_});
  }

  Tensor logits(const Tensor& candidates) override {
    const NoGradient scope;
    const Variable hidden = forward(candidates, {.past = cache_.past(cache_.length())});
    return reshape(classifier_.head_.forward(hidden).value(), candidates.shape());
  }

  void select(const Tensor& entries) override { cache_.select(entries.to_vector<int32_t>()); }

 private:
  Variable forward(const Tensor& tokens, const TransformerOptions& options) const {
    const Device device = classifier_.device();
    const Sequences sequences = equal_sequences(tokens.size(0), tokens.size(1), device);
    return classifier_.transformer_.forward(reshape(to(tokens, device), {sequences.rows}), sequences, {}, {},
                                            options);
  }

  const PrefixClassifier& classifier_;
  TransformerCache cache_;
};

PrefixClassifier::PrefixClassifier(const TransformerConfig& config, const DataFacts& facts,
                                   Generator& generator)
    : facts_(with_controls(facts)),
      transformer_(facts.vocabulary, causal(config), generator),
      head_(config.hidden, 1, generator) {
  add_module("transformer", transformer_);
  add_module("head", head_);
}

Batch PrefixClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  const TextBatch& controls = batch.source_for(kName);
  batch.prepared = controlled_prefixes(batch.target_for(kName), controls, control_pairs(controls, generator),
                                       facts_.end_id);
  return batch;
}

Loss PrefixClassifier::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const auto* prefixes = dynamic_cast<const ControlledPrefixes*>(batch.prepared.get());
  if (!prefixes) fail("{}: the batch has not been prepared", kName);
  Loss loss = binary_loss(logits(prefixes->ids, prefixes->sequences, prefixes->rows, context),
                          prefixes->signs, prefixes->weights);
  loss.inputs.emplace_back("ids", prefixes->ids);
  return loss;
}

Variable PrefixClassifier::logits(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                                  const ForwardContext& context) const {
  const Device here = device();
  const Variable hidden = transformer_.forward(haze::to(ids, here), sequences.to(here), {}, context,
                                               {.wanted = haze::to(rows, here)});
  return reshape(head_.forward(hidden), {rows.size(0)});
}

std::unique_ptr<PrefixScorer> PrefixClassifier::scorer() const {
  return std::make_unique<CachedScorer>(*this);
}

ModelInfo prefix_classifier_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Yang and Klein 2021, FUDGE: Controlled text generation with future discriminators";
  info.tasks = {"pairs"};
  info.settings = small_transformer_settings();
  info.resolve = [](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") != "none")
      fail("{} has no time t: transformer.time must be none, not {}", kName,
           settings.text("transformer.time"));
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    // A row of the control each, the end token, and all of the text.
    const TransformerConfig config =
        transformer_config(settings, facts.max_source_length + 1 + facts.max_length);
    return std::make_unique<PrefixClassifier>(config, facts, generator);
  };
  return info;
}

}  // namespace haze

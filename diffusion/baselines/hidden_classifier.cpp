#include "haze/diffusion/baselines/hidden_classifier.h"

#include "haze/diffusion/classifier_measures.h"

namespace haze {
namespace {

constexpr const char* kName = "hidden_classifier";

struct ControlledTexts : Prepared {
  TextBatch texts;  // each after the end token, as the language model reads it
  ControlPairs pairs;
};

std::shared_ptr<const Autoregressive> language_model_of(const FrozenModel& frozen, const DataFacts& facts) {
  if (facts.max_source_length == 0) fail("{}: the texts have no sources, which are the controls", kName);
  if (!frozen.model) fail("{}: {}.run must name the run whose hidden states it reads", kName, kName);
  auto model = std::dynamic_pointer_cast<const Autoregressive>(frozen.model);
  if (!model || model->reads_sources()) {
    fail("{}.run names a run of the model {}{}; it must be autoregressive with autoregressive.ignore_source",
         kName, frozen.settings.text("model"), model ? ", which reads the control" : "");
  }
  check_same_texts(kName, frozen.facts, facts);
  return model;
}

Tensor indices_of(const std::vector<int64_t>& numbers, Device device) {
  return Tensor::from(std::vector<int32_t>(numbers.begin(), numbers.end()), {std::ssize(numbers)}, device);
}

}  // namespace

HiddenClassifier::HiddenClassifier(const Settings& settings, const DataFacts& facts,
                                   const FrozenModel& frozen, Generator& generator)
    : facts_(facts),
      language_model_(language_model_of(frozen, facts)),
      token_embedding_(facts.vocabulary, settings.integer("hidden_classifier.width"), generator),
      position_embedding_(facts.max_source_length, settings.integer("hidden_classifier.width"), generator),
      first_(settings.integer("hidden_classifier.width"), settings.integer("hidden_classifier.width"),
             generator),
      second_(settings.integer("hidden_classifier.width"), language_model_->network().hidden_width() + 1,
              generator) {
  add_module("token_embedding", token_embedding_);
  add_module("position_embedding", position_embedding_);
  add_module("first", first_);
  add_module("second", second_);
}

Batch HiddenClassifier::prepare(Batch batch, size_t, Generator& generator) const {
  const TextBatch& controls = batch.source_for(kName);
  const TextBatch& target = batch.target_for(kName);
  std::vector<std::vector<int32_t>> texts;
  for (int64_t i = 0; i < target.sequences.count; ++i) {
    const std::span<const int32_t> tokens = target.tokens(i);
    texts.push_back({facts_.end_id});
    texts.back().insert(texts.back().end(), tokens.begin(), tokens.end());
  }
  auto prepared = std::make_shared<ControlledTexts>();
  prepared->texts = TextBatch::of(texts);
  prepared->pairs = control_pairs(controls, generator);
  batch.prepared = std::move(prepared);
  return batch;
}

Loss HiddenClassifier::loss(const Batch& batch, size_t, const ForwardContext&) const {
  const auto* prepared = dynamic_cast<const ControlledTexts*>(batch.prepared.get());
  if (!prepared) fail("{}: the batch has not been prepared", kName);
  const ControlPairs& pairs = prepared->pairs;
  Variable means;
  {
    const NoGradient scope;  // the language model is frozen
    const Sequences& sequences = prepared->texts.sequences;
    means = sequence_means(language_model_->network().hidden_of(prepared->texts.ids, sequences), sequences);
  }
  const Variable controls = weights_of(batch.source_for(kName));
  const Variable logits = this->logits(index_select(means, 0, indices_of(pairs.text, means.device())),
                                       index_select(controls, 0, indices_of(pairs.control, means.device())));
  std::vector<double> weights;
  for (const double weight : pairs.weight) weights.push_back(weight / static_cast<double>(batch.size()));
  return binary_loss(logits, Tensor::from(pairs.sign, {pairs.size()}), Tensor::from(weights, {pairs.size()}));
}

Variable HiddenClassifier::weights_of(const TextBatch& controls) const {
  const Sequences& sequences = controls.sequences;
  if (sequences.longest > facts_.max_source_length) {
    fail("{}: a control of {} tokens is longer than the {} of training", kName, sequences.longest,
         facts_.max_source_length);
  }
  const Variable rows = token_embedding_.forward(haze::to(controls.ids, device())) +
                        position_embedding_.forward(haze::to(sequences.positions, device()));
  return second_.forward(first_.forward(sequence_means(rows, sequences), Activation::silu));
}

Tensor HiddenClassifier::read_controls(const TextBatch& controls) const {
  const NoGradient scope;
  return weights_of(controls).value();
}

Variable HiddenClassifier::logits(const Variable& mean, const Variable& controls) const {
  const int64_t hidden = mean.size(1);
  const Variable products = sum(slice(controls, 1, 0, hidden) * mean, {1});
  return products + reshape(slice(controls, 1, hidden, hidden + 1), {mean.size(0)});
}

ModelInfo hidden_classifier_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Dathathri et al. 2020, Plug and play language models";
  info.tasks = {"pairs"};
  info.settings = {text_setting("hidden_classifier.run", "",
                                "run of autoregressive, with ignore_source, whose hidden states it reads"),
                   integer_setting("hidden_classifier.width", 256, between(1, 65536),
                                   "width of the layers that read a control")};
  info.frozen = {"hidden_classifier.run"};
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<HiddenClassifier>(settings, facts, frozen.at(0), generator);
  };
  return info;
}

}  // namespace haze

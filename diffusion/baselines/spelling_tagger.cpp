#include "haze/diffusion/baselines/spelling_tagger.h"

#include "haze/diffusion/classifier_measures.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

constexpr const char* kName = "spelling_tagger";

const DataFacts& checked(const DataFacts& facts) {
  if (facts.tags < 2) fail("{}: the data have no tags, of which it could learn", kName);
  if (facts.spelling_buckets == 0 || facts.unknown_id < 0)
    fail("{}: the data have no spelling, which it reads", kName);
  return facts;
}

}  // namespace

SpellingTagger::SpellingTagger(const Settings& settings, const DataFacts& facts, Generator& generator)
    : classes_(checked(facts).tags),
      end_id_(facts.end_id),
      unknown_id_(facts.unknown_id),
      word_dropout_(settings.real("spelling_tagger.word_dropout")),
      input_(facts.vocabulary, settings.integer("transformer.hidden"), generator),
      ngrams_(facts.spelling_buckets, settings.integer("transformer.hidden"), generator),
      transformer_(transformer_config(settings, facts.max_length), generator),
      head_(settings.integer("transformer.hidden"), classes_ - 1, generator) {
  add_module("", input_);
  add_module("ngram_embedding", ngrams_);
  add_module("", transformer_);
  add_module("head", head_);
}

std::vector<int32_t> SpellingTagger::word_rows(const Batch& batch) const {
  const std::vector<int32_t> ids = batch.target_for(kName).ids.to_vector<int32_t>();
  std::vector<int32_t> rows;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != end_id_) rows.push_back(static_cast<int32_t>(i));
  }
  if (rows.empty()) fail("{}: the batch has no words", kName);
  return rows;
}

int64_t SpellingTagger::units(const Batch& batch) const {
  return std::ssize(word_rows(batch));
}

Tensor SpellingTagger::words_read(const Tensor& ids, const ForwardContext& context) const {
  const double rate = context.rate(word_dropout_);
  if (rate == 0) return ids;
  if (!context.generator) fail("{}: training with word dropout needs a generator", kName);
  std::vector<int32_t> read = ids.to_vector<int32_t>();
  for (int32_t& id : read) {
    if (id != end_id_ && context.generator->uniform() < rate) id = unknown_id_;
  }
  return Tensor::from(read, ids.shape());
}

Variable SpellingTagger::log_probabilities(const Batch& batch, const ForwardContext& context) const {
  const TextBatch& text = batch.target_for(kName);
  const Spelling& spelling = batch.spelling_for(kName);
  const std::vector<int32_t> rows = word_rows(batch);
  const Variable words = input_.forward(haze::to(words_read(text.ids, context), device()));
  const Variable of_ngrams = ngrams_.forward(haze::to(spelling.ngrams, device()));
  const Variable spelt = index_scatter(of_ngrams, 0, haze::to(spelling.tokens, device()), words.shape());
  const Tensor wanted = Tensor::from(rows, {std::ssize(rows)}, device());
  const Variable hidden =
      transformer_.forward(words + spelt, text.sequences.to(device()), {}, context, {.wanted = wanted});
  return log_softmax(head_.forward(hidden));
}

Loss SpellingTagger::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const std::vector<int32_t> all_tags = batch.tags_for(kName).to_vector<int32_t>();
  std::vector<int32_t> tags;
  for (const int32_t row : word_rows(batch)) tags.push_back(all_tags.at(static_cast<size_t>(row)) - 1);
  const Tensor targets = Tensor::from(tags, {std::ssize(tags)}, device());
  const Variable log_p = log_probabilities(batch, context);
  return {.total = -mean(gather(log_p, 1, unsqueeze(targets, 1))),
          .log = {{"accuracy", accuracy(log_p.value(), targets)}},
          .inputs = {}};
}

std::vector<int32_t> SpellingTagger::word_classes(const Batch& batch) const {
  const NoGradient no_gradient;
  std::vector<int32_t> classes = argmax(log_probabilities(batch).value(), 1).to_vector<int32_t>();
  for (int32_t& one : classes) ++one;
  return classes;
}

ModelInfo spelling_tagger_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Bojanowski et al. 2017, Enriching word vectors with subword information";
  info.tasks = {"tagged"};
  info.settings = {real_setting("spelling_tagger.word_dropout", 0.2, from_to_below(0, 1),
                                "probability that training shows a word by its spelling alone")};
  for (Setting& setting : small_transformer_settings()) info.settings.push_back(std::move(setting));
  info.resolve = [](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") != "none")
      fail("{}: a clean text has no time; transformer.time must be none", kName);
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<SpellingTagger>(settings, facts, generator);
  };
  return info;
}

}  // namespace haze

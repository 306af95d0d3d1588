#include "haze/diffusion/baselines/autoregressive.h"

#include <algorithm>

#include "haze/diffusion/baselines/ancestral_sampling.h"
#include "haze/diffusion/baselines/beam_search.h"
#include "haze/diffusion/token_filter_settings.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

std::span<const int32_t> sequence(const TextBatch& batch, int64_t i) {
  const int32_t* offsets = batch.sequences.offsets.data<int32_t>();
  return {batch.ids.data<int32_t>() + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i])};
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

SettingsTable settings_table() {
  SettingsTable table = {
      boolean_setting("autoregressive.tied_embeddings", false,
                      "the head's weight is that of the token embedding"),
  };
  for (Setting& row : transformer_settings()) table.push_back(std::move(row));
  table.push_back(choice_setting("sample.sampler", "ancestral", {"ancestral", "beam"},
                                 "how a text is drawn, or searched for"));
  for (Setting& row : token_filter_settings())
    table.push_back(only_with(std::move(row), "sample.sampler", {"ancestral"}));
  table.push_back(only_with(integer_setting("sample.beam_size", 4, between(1, 1000),
                                            "hypotheses that are kept at each step (beam)"),
                            "sample.sampler", {"beam"}));
  table.push_back(
      only_with(real_setting("sample.length_penalty", 0.6, between(0, 10),
                             "exponent alpha of ((5 + length) / 6)^alpha, by which log p is divided (beam)"),
                "sample.sampler", {"beam"}));
  return table;
}

}  // namespace

ShiftedTexts shifted(const TextBatch& target, const TextBatch* source, int32_t end_id) {
  const int64_t count = target.sequences.count;
  if (source && source->sequences.count != count)
    fail("autoregressive: {} source texts for {} targets", source->sequences.count, count);
  ShiftedTexts result;
  std::vector<int64_t> lengths;
  std::vector<int32_t> ids, rows;
  for (int64_t i = 0; i < count; ++i) {
    const size_t first = ids.size();
    if (source) {
      const std::span<const int32_t> tokens = sequence(*source, i);
      ids.insert(ids.end(), tokens.begin(), tokens.end());
    }
    ids.push_back(end_id);
    const std::span<const int32_t> text = sequence(target, i);
    for (size_t place = 0; place < text.size(); ++place)
      rows.push_back(static_cast<int32_t>(ids.size() - 1 + place));
    ids.insert(ids.end(), text.begin(), text.end() - 1);
    lengths.push_back(static_cast<int64_t>(ids.size() - first));
  }
  result.sequences = Sequences::of_lengths(lengths);
  result.ids = Tensor::from(ids, {std::ssize(ids)});
  result.rows = Tensor::from(rows, {std::ssize(rows)});
  result.targets = target.ids;
  return result;
}

Autoregressive::Autoregressive(const TransformerConfig& config, bool tied_embeddings, const DataFacts& facts,
                               Generator& generator)
    : facts_(facts), network_(facts.vocabulary, config, tied_embeddings, generator) {
  add_module("", network_);
}

ShiftedTexts Autoregressive::shifted_of(const Batch& batch) const {
  return shifted(batch.target_for("autoregressive"),
                 has_sources() ? &batch.source_for("autoregressive") : nullptr, facts_.end_id);
}

Batch Autoregressive::prepare(Batch batch, size_t, Generator&) const {
  batch.prepared = std::make_shared<ShiftedTexts>(shifted_of(batch));
  return batch;
}

Loss Autoregressive::loss(const Batch& batch, size_t, const ForwardContext& context) const {
  const auto* texts = dynamic_cast<const ShiftedTexts*>(batch.prepared.get());
  if (!texts) fail("autoregressive: the batch has not been prepared");
  const int64_t tokens = texts->targets.size(0);
  const Tensor row_weights = full({tokens}, 1.0 / static_cast<double>(tokens));
  const CrossEntropy result =
      network_.cross_entropy(texts->ids, texts->sequences, texts->rows, texts->targets, row_weights, context);
  return {.total = result.total,
          .log = {{"cross_entropy", result.total.value()}},
          .inputs = {{"ids", texts->ids},
                     {"offsets", texts->sequences.offsets},
                     {"targets", texts->targets},
                     {"rows", texts->rows},
                     {"row_weights", row_weights}}};
}

std::vector<double> Autoregressive::draw_nats(const Batch& batch, Generator&) const {
  const NoGradient scope;
  const ShiftedTexts texts = shifted_of(batch);
  const std::vector<double> losses = network_
                                         .cross_entropy(texts.ids, texts.sequences, texts.rows, texts.targets,
                                                        ones(texts.targets.shape()), ForwardContext{})
                                         .losses.to_vector<double>();
  const Sequences& sequences = batch.target->sequences;
  const int32_t* text_of = sequences.index.data<int32_t>();
  std::vector<double> nats(static_cast<size_t>(sequences.count));
  for (size_t token = 0; token < losses.size(); ++token)
    nats[static_cast<size_t>(text_of[token])] += losses[token];
  return nats;
}

Samples Autoregressive::sample(std::span<const Request> requests, const SampleOptions& options,
                               Generator& generator) const {
  std::vector<Continuation> continuations;
  for (size_t i = 0; i < requests.size(); ++i) {
    Continuation one{.context = requests[i].source, .prompt = prompt_of(requests[i], i)};
    if (has_sources() == one.context.empty()) {
      fail("sampling: text {} has {} source text, and this model has learned texts {} one", i,
           has_sources() ? "no" : "a", has_sources() ? "with" : "without");
    }
    one.context.push_back(facts_.end_id);
    continuations.push_back(std::move(one));
  }
  const TextEnd end{.end_id = facts_.end_id, .max_length = facts_.max_length};
  const Settings& settings = options.settings;
  if (settings.text("sample.sampler") == "beam") {
    return beam_search(network_, continuations, end,
                       {.beam_size = settings.integer("sample.beam_size"),
                        .length_penalty = settings.real("sample.length_penalty"),
                        .forbidden_tokens = options.forbidden_tokens,
                        .observer = options.observer});
  }
  return sample_continuations(
      network_, continuations, end,
      {.filter = token_filter(settings, options.forbidden_tokens), .observer = options.observer}, generator);
}

ModelInfo autoregressive_model() {
  ModelInfo info;
  info.name = "autoregressive";
  info.paper = "Radford et al. 2019, Language models are unsupervised multitask learners";
  info.tasks = {"texts", "pairs"};
  info.settings = settings_table();
  info.resolve = [](Settings& settings) {
    check_transformer_settings(settings);
    if (settings.text("transformer.time") != "none") {
      fail("an autoregressive model has no time t: transformer.time must be none, not {}",
           settings.text("transformer.time"));
    }
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                 Generator& generator) -> std::unique_ptr<Model> {
    // A row of the source each, the start symbol, and all of the text but its last token.
    const TransformerConfig config = transformer_config(settings, facts.max_source_length + facts.max_length);
    return std::make_unique<Autoregressive>(config, settings.boolean("autoregressive.tied_embeddings"), facts,
                                            generator);
  };
  return info;
}

}  // namespace haze

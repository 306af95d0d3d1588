#pragma once

#include "haze/diffusion/baselines/continuation.h"
#include "haze/diffusion/baselines/language_model.h"
#include "haze/diffusion/model.h"

/// The baseline of every model of texts: a language model from left to right (Radford et al. 2019, "Language
/// models are unsupervised multitask learners").
///   -log p(w_1..w_n) = sum_i -log p(w_i | w_1..w_{i-1})
namespace haze {

/// Texts as the network reads them. A row predicts the token that follows it.
///   a text   [end, w_1 .. w_{n-1}]            -> w_1 .. w_n     the end token is the start symbol too
///   a pair   [source, end, w_1 .. w_{n-1}]    -> w_1 .. w_n
struct ShiftedTexts : Prepared {
  Tensor ids;  // int32 [rows]
  Sequences sequences;
  Tensor rows;     // int32 [target tokens]: the row that predicts each
  Tensor targets;  // int32 [target tokens]
};

/// `source` is null for texts without one. Throws Error where there are not as many sources as targets.
ShiftedTexts shifted(const TextBatch& target, const TextBatch* source, int32_t end_id);

struct AutoregressiveOptions {
  bool tied_embeddings = false;
  bool ignores_source = false;  // of pairs it reads the texts alone
  /// A prefix_classifier (FUDGE) or a hidden_classifier (PPLM), which leads texts to a control; may be null.
  std::shared_ptr<const Model> classifier = nullptr;
  bool is_led = false;  // sample.sampler leads texts to their source, whether or not it can
};

class Autoregressive : public Model, private Sampler, private Likelihood {
 public:
  /// For pairs where facts.max_source_length > 0, otherwise for texts. Throws Error where there are no
  /// sources to ignore.
  Autoregressive(const TransformerConfig& config, AutoregressiveOptions options, const DataFacts& facts,
                 Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  /// Mean cross-entropy of target tokens, in nats.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;
  /// Continues prompts, by ancestral sampling, beam search, FUDGE or PPLM; the last two lead a text to its
  /// source, a control. Beam search does not read sample.temperature, top_k and top_p. A text without an end
  /// token was cut at facts.max_length.
  const Sampler* sampler() const override { return this; }
  /// Exact. A text's end token is part of it.
  const Likelihood* likelihood() const override { return this; }

  const CausalTransformer& network() const { return network_; }
  /// Whether the network reads the source of a pair.
  bool reads_sources() const { return facts_.max_source_length > 0 && !options_.ignores_source; }

 private:
  Uses uses() const override {
    return {.prompt = true, .source = reads_sources() || options_.classifier || leads()};
  }
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override;
  LikelihoodKind kind() const override { return LikelihoodKind::exact; }
  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override;

  bool leads() const { return options_.is_led && facts_.max_source_length > 0; }
  ShiftedTexts shifted_of(const Batch& batch) const;
  std::vector<Continuation> continuations_of(std::span<const Request> requests,
                                             const std::string& sampler) const;
  std::unique_ptr<LanguageModel> steered_model(const SampleOptions& options) const;

  AutoregressiveOptions options_;
  DataFacts facts_;
  CausalTransformer network_;
};

ModelInfo autoregressive_model();

}  // namespace haze

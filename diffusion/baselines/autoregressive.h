#pragma once

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

class Autoregressive : public Model, private Sampler, private Likelihood {
 public:
  /// For pairs where facts.max_source_length > 0, otherwise for texts.
  Autoregressive(const TransformerConfig& config, bool tied_embeddings, const DataFacts& facts,
                 Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  /// Mean cross-entropy of target tokens, in nats.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;
  /// Continues prompts, by ancestral sampling or beam search; the latter does not read sample.temperature,
  /// top_k and top_p. A text without an end token was cut at
  /// facts.max_length.
  const Sampler* sampler() const override { return this; }
  /// Exact. A text's end token is part of it.
  const Likelihood* likelihood() const override { return this; }

  const CausalTransformer& network() const { return network_; }

 private:
  Uses uses() const override { return {.prompt = true, .source = has_sources()}; }
  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override;
  LikelihoodKind kind() const override { return LikelihoodKind::exact; }
  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override;

  bool has_sources() const { return facts_.max_source_length > 0; }
  ShiftedTexts shifted_of(const Batch& batch) const;

  DataFacts facts_;
  CausalTransformer network_;
};

ModelInfo autoregressive_model();

}  // namespace haze

#pragma once

#include "haze/nn/heads.h"
#include "haze/nn/token_transformer.h"

namespace haze {

/// The target of a row whose loss is 0.
inline constexpr int32_t kNoTarget = -1;

/// A question to a denoiser.
struct DenoiserInput {
  Tensor x_t;           // int32 [rows]: texts with masks, laid end to end
  Sequences sequences;  // of x_t
  Tensor t;             // float32 [sequences] in [0, 1]; may be undefined where no prediction depends on it
  Tensor rows;          // int32 [n]: the rows of x_t that are to be predicted

  bool is_on(Device device) const;
  DenoiserInput to(Device device) const;
};

/// p_theta(x_0 | x_t): for each masked token, a distribution over the vocabulary. The mask is read and never
/// predicted, and tokens that are not masked are carried over (the SUBS parametrisation of Sahoo et al. 2024,
/// section 3.2.3). So only masked rows are ever asked for. Inputs, targets and weights may lie on the host,
/// where texts are corrupted; results lie where the network does.
class Denoiser {
 public:
  virtual ~Denoiser() = default;

  /// Ids that texts are made of: 0 up to this.
  virtual int64_t vocabulary() const = 0;
  /// Either no id of the vocabulary or one of it that no text holds, as BERT's [MASK], 103.
  virtual int32_t mask_id() const = 0;
  /// Whether the prediction depends on t beyond what x_t shows of it.
  virtual bool depends_on_time() const = 0;

  /// Unnormalised log-probabilities [n, vocabulary] of x_0 at the rows asked for; -infinity for the mask
  /// where it is an id of the vocabulary.
  virtual Variable logits(const DenoiserInput& input, const ForwardContext& context) const = 0;

  /// sum_i row_weights_i (-log p(targets_i)) over the rows asked for, and each of the losses [n]. targets
  /// int32 [n], row_weights float32 [n]. By default computed from logits().
  virtual CrossEntropy cross_entropy(const DenoiserInput& input, const Tensor& targets,
                                     const Tensor& row_weights, const ForwardContext& context) const;
};

/// A transformer with a linear head. After the last attention, only the rows asked for are computed.
class TransformerDenoiser : public Module, public Denoiser {
 public:
  /// `vocabulary` is the number of ids that texts are made of; the network reads `mask_id` too, which may be
  /// one of them. Throws Error where it is negative.
  TransformerDenoiser(int64_t vocabulary, const TransformerConfig& config, int32_t mask_id,
                      Generator& generator);

  int64_t vocabulary() const override { return head_.vocabulary(); }
  int32_t mask_id() const override { return mask_id_; }
  bool depends_on_time() const override { return transformer_.config().time != TimeConditioning::none; }
  Variable logits(const DenoiserInput& input, const ForwardContext& context) const override;
  /// Rows whose target is kNoTarget do not count.
  CrossEntropy cross_entropy(const DenoiserInput& input, const Tensor& targets, const Tensor& row_weights,
                             const ForwardContext& context) const override;

 private:
  Variable hidden(const DenoiserInput& input, const ForwardContext& context) const;

  int32_t mask_id_;
  TokenTransformer transformer_;
  TokenHead head_;
};

}  // namespace haze

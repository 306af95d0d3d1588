#pragma once

#include "haze/diffusion/discrete/masking.h"
#include "haze/nn/heads.h"
#include "haze/nn/token_transformer.h"

namespace haze {

/// p_theta(x_0 | x_t): for each masked token, a distribution over the vocabulary. The mask is the id after
/// the last of the vocabulary: it is read but never predicted, and tokens that are not masked are carried
/// over (the SUBS parametrisation of Sahoo et al. 2024, section 3.2.3), so only masked rows are ever asked
/// for.
class Denoiser {
 public:
  virtual ~Denoiser() = default;

  virtual int64_t vocabulary() const = 0;
  int32_t mask_id() const { return static_cast<int32_t>(vocabulary()); }
  /// Whether the prediction depends on t beyond what x_t shows of it.
  virtual bool depends_on_time() const = 0;

  /// Unnormalised log-probabilities [n, vocabulary] of x_0 at `rows` int32 [n] of x_t. t float32 [sequences].
  virtual Variable logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t, const Tensor& rows,
                          const ForwardContext& context) const = 0;

  /// sum_i row_weights_i (-log p(targets_i)) over `rows`, and each of the losses. By default computed from
  /// logits().
  virtual CrossEntropy cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                                     const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                                     const ForwardContext& context) const;
};

/// A transformer with a linear head. After the last attention, only the rows asked for are computed.
class TransformerDenoiser : public Module, public Denoiser {
 public:
  /// `vocabulary` is the number of tokens that can be predicted; the mask is added to what the network reads.
  TransformerDenoiser(int64_t vocabulary, const TransformerConfig& config, Generator& generator);

  int64_t vocabulary() const override { return head_.vocabulary(); }
  bool depends_on_time() const override { return config().time != TimeConditioning::none; }
  Variable logits(const Tensor& x_t, const Sequences& sequences, const Tensor& t, const Tensor& rows,
                  const ForwardContext& context) const override;
  CrossEntropy cross_entropy(const Tensor& x_t, const Sequences& sequences, const Tensor& t,
                             const Tensor& rows, const Tensor& targets, const Tensor& row_weights,
                             const ForwardContext& context) const override;

  const TransformerConfig& config() const { return transformer_.config(); }

 private:
  Variable hidden(const Tensor& x_t, const Sequences& sequences, const Tensor& t, const Tensor& rows,
                  const ForwardContext& context) const;

  TokenTransformer transformer_;
  TokenHead head_;
};

}  // namespace haze

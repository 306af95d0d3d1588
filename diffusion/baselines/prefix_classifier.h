#pragma once

#include "haze/diffusion/baselines/control_pairs.h"
#include "haze/diffusion/baselines/fudge.h"

namespace haze {

/// Controls and texts as the classifier reads them, [control, end, w_1 .. w_n] each. The row of w_i sees the
/// control and w_1 .. w_i.
struct ControlledPrefixes : Prepared {
  Tensor ids;  // int32 [rows]
  Sequences sequences;
  Tensor rows;            // int32 [n]: those of prefixes of at least one token
  Tensor signs, weights;  // float64 [n], of binary_loss()
};

/// The model "prefix_classifier": p(control | w_1 .. w_i) for every prefix of a text (Yang and Klein 2021,
/// section 3.1), of pairs whose source is the control. A causal transformer and a linear layer. Each text is
/// shown with its own control and with another text's. A text that will not have the property teaches that
/// none of its prefixes promises it.
class PrefixClassifier : public Model, public PrefixModel {
 public:
  /// Throws Error where the data have no sources.
  PrefixClassifier(const TransformerConfig& config, const DataFacts& facts, Generator& generator);

  Batch prepare(Batch batch, size_t objective, Generator& generator) const override;
  /// Mean binary cross-entropy of prefixes, in nats; half of it is of other texts' controls.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// c with p(control | prefix) = sigma(c), [n], of the prefixes that end at `rows` int32 [n] of ids.
  Variable logits(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                  const ForwardContext& context) const;
  /// Keeps the keys and values of what it has read. The candidates of all texts go through the network in one
  /// batch, and none sees another.
  std::unique_ptr<PrefixScorer> scorer() const override;

  const DataFacts& facts() const { return facts_; }

 private:
  friend class CachedScorer;

  DataFacts facts_;
  TokenTransformer transformer_;
  Linear head_;
};

ModelInfo prefix_classifier_model();

}  // namespace haze

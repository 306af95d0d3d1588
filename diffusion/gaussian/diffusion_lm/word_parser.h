#pragma once

#include "haze/diffusion/gaussian/diffusion_lm/noisy_text_classifier.h"

namespace haze {

/// Spans of rows of several texts. The rows are those of all texts laid end to end.
struct SpanRows {
  Tensor first, last;  // int32 [spans]: the first and the last row of each
  Tensor text;         // int32 [spans]
};

/// All spans of all texts: of each text in turn those that begin with its first row, the shortest first.
SpanRows all_spans(const Sequences& sequences);

/// The model "word_parser": p(label | x_t) of every span of rows, independent given x_t; the label 0 is no
/// phrase. The labels of all spans of a text are its tree (Stern et al. 2017, "A minimal span-based neural
/// constituency parser", section 3). It serves two controls of Li et al. 2022, section 6.1: syntax tree and
/// syntax spans. A span's score is W relu(U h_first + V h_last + b) + c, of the transformer's rows h.
class WordParser : public NoisyTextClassifier {
 public:
  /// Throws Error where the data have no trees, and as NoisyTextClassifier's.
  WordParser(const Settings& settings, const DataFacts& facts, const FrozenModel& frozen,
             Generator& generator);

  /// The cross-entropy of a text's spans, its mean over the rows: a text has about as many phrases as rows.
  Loss loss(const Batch& batch, size_t objective, const ForwardContext& context) const override;

  /// log p(label | x_t) up to a constant a span, [spans, labels], of x_t [rows, dimension] at times t / T,
  /// float32 [texts].
  Variable logits(const Variable& x_t, const Sequences& sequences, const Tensor& time, const SpanRows& spans,
                  const ForwardContext& context = {}) const;

 private:
  Linear first_, last_, head_;
};

ModelInfo word_parser_model();

}  // namespace haze

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "haze/diffusion/model.h"

/// Controls, such as "length 12", and texts. A classifier learns from pairs that belong together and pairs
/// that do not.
namespace haze {

/// Pairs of a batch, by index: first each text with its own control, then texts with the control of another.
struct ControlPairs {
  std::vector<int64_t> text, control;
  std::vector<double> sign;    // 1: the control is the text's own; -1: it is another's
  std::vector<double> weight;  // of the pair among those of its text; they sum to 1 for each text

  int64_t size() const { return std::ssize(text); }
};

/// Draws for each text a control of another text. One that reads as the text's own holds as well and is
/// passed over. A text for which no other is left has the pair of its own control alone.
ControlPairs control_pairs(const TextBatch& controls, Generator& generator);

/// log sigma(c) = -softplus(-c), c floating. The equal c - log(1 + e^c) overflows where c is large.
Tensor log_sigmoid(const Tensor& c);

/// The cross-entropy of binary logits [n], sum_i weights_i (-log sigma(signs_i logits_i)) in nats, and as a
/// log also the share of those that are right. signs and weights [n].
Loss binary_loss(const Variable& logits, const Tensor& signs, const Tensor& weights);

/// Throws Error, beginning with `classifier`, where it has not learned from texts like these: another
/// vocabulary or end token, or shorter texts or controls.
void check_same_texts(std::string_view classifier, const DataFacts& learned, const DataFacts& facts);

}  // namespace haze

#pragma once

#include <vector>

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// Exact properties of the random derivation of a grammar, and so of its random text where the grammar is
/// unambiguous (ambiguity.h). Natural logarithms.
struct GrammarMeasures {
  double entropy_nats = 0;                  ///< H(derivation)
  double surprisal_variance = 0;            ///< of -log p(derivation), in nats squared
  double mean_words = 0;                    ///< expected number of words
  std::vector<double> length_distribution;  ///< [n]: probability of exactly n words
  double length_entropy_nats = 0;           ///< H(number of words)
  double log10_derivations = 0;             ///< decimal logarithm of the number of derivations

  /// H(derivation | number of words).
  double entropy_given_length_nats() const { return entropy_nats - length_entropy_nats; }
  /// The fewest nats per token that a model of the texts can reach, the end of a text counted as one token.
  double nats_per_token() const { return entropy_nats / (mean_words + 1); }
  int longest() const { return static_cast<int>(length_distribution.size()) - 1; }
};

/// Computes them by recursion from the words up. A rule is drawn without regard to what stands around its
/// symbol. So a symbol's entropy is that of its choice of a rule, plus the expected entropy of the rule's
/// right side (Grenander 1967; Cover & Thomas, chain rule 2.5).
GrammarMeasures measure(const Grammar& grammar);

}  // namespace haze

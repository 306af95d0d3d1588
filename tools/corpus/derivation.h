#pragma once

#include <string>
#include <utility>
#include <vector>

#include "haze/engine/generator.h"
#include "haze/tools/corpus/grammar.h"

namespace haze {

/// A text of a grammar as the rules that made it: ids in the order in which the leftmost symbol is always the
/// next to be replaced. It determines the text and all that belongs to it.
using Derivation = std::vector<int32_t>;

/// Draws a derivation with its probability. Weights are drawn as integers, so it is the same everywhere.
Derivation sample_derivation(const Grammar& grammar, Generator& generator);

/// Natural logarithm of the derivation's probability.
double log_probability(const Grammar& grammar, const Derivation& derivation);

/// The text of a derivation, with all that belongs to it.
struct Realisation {
  std::vector<std::string> words;                           ///< as written, full stops and commas being words
  std::vector<std::string> tags;                            ///< universal part of speech, one a word
  std::string tree;                                         ///< bracketed, with Penn Treebank labels
  std::vector<std::pair<std::string, std::string>> fields;  ///< in the order of Grammar::fields()
};

/// Follows a derivation from the root. Throws Error where it is not one of this grammar.
Realisation realise(const Grammar& grammar, const Derivation& derivation);

/// The same from another nonterminal. Its first word is written as if a text began with it.
Realisation realise(const Grammar& grammar, const Derivation& derivation, int32_t nonterminal);

}  // namespace haze

#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "haze/tools/corpus/derivation.h"
#include "haze/tools/corpus/grammar.h"

namespace haze {

/// Words [begin, end) of a text that one nonterminal makes.
struct Fragment {
  std::size_t begin = 0, end = 0;
  int32_t nonterminal = -1;  ///< -1: a word that is part of none
  Derivation derivation;     ///< from the nonterminal on
};

/// Finds out whether and how a grammar makes a text.
class Recogniser {
 public:
  /// `grammar` has to outlive the recogniser.
  explicit Recogniser(const Grammar& grammar);

  /// Natural logarithm of the probability of the text, summed over all its derivations (the inside algorithm,
  /// Baker 1979); none where the grammar does not make it. Words as written (spelling.h).
  std::optional<double> log_probability(const std::vector<std::string>& words) const;

  /// A derivation of the text, the only one in an unambiguous grammar; none where the grammar does not make
  /// it.
  std::optional<Derivation> derivation(const std::vector<std::string>& words) const;

  /// The text as a sequence of fragments, each made by a nonterminal with a label. Of all such sequences it
  /// has the fewest fragments, a word in none counting as two. A text of the grammar is one. Chart parsing,
  /// as in CKY (Younger 1967), for rules of any length.
  std::vector<Fragment> fragments(const std::vector<std::string>& words) const;

  /// Words of the longest text that the grammar makes; a longer one is refused without being looked at.
  std::size_t longest() const { return longest_; }

 private:
  friend class InsideChart;

  const Grammar& grammar_;
  // Of each nonterminal: which terminals its words can begin with, and whether it can have none.
  std::vector<std::vector<bool>> first_;
  std::vector<bool> can_be_empty_;
  std::size_t longest_;
};

}  // namespace haze

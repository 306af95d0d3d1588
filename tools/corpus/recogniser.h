#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "haze/tools/corpus/derivation.h"
#include "haze/tools/corpus/grammar.h"

namespace haze {

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

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "haze/engine/generator.h"

namespace haze {

/// How long texts are. The network of a masked model is told the length of a text. So a length has to be
/// drawn before a text is sampled, and its -log probability is part of the text's. Lengths count the end
/// token.
class LengthDistribution {
 public:
  /// From counts[n], the number of texts of n tokens. Every length from 1 to the longest gets a count of 1/2
  /// more, so that none is impossible (Krichevsky and Trofimov 1981). Throws Error where there are no texts.
  explicit LengthDistribution(std::vector<int64_t> counts);

  /// Texts of each number of tokens, from 0.
  const std::vector<int64_t>& counts() const { return counts_; }
  int64_t longest() const { return static_cast<int64_t>(counts_.size()) - 1; }
  /// In nats; -infinity for lengths outside 1..longest().
  double log_probability(int64_t length) const;
  /// A length drawn as often as it was counted, among those above `above`, which is at least 0. If no text is
  /// that long, it is longest(), but at least above + 1.
  int64_t draw(Generator& generator, int64_t above = 0) const;
  /// The same among the lengths from `least` to `most`, 1 <= least <= most. Where no text has one of them:
  /// the one that is nearest to longest().
  int64_t draw_between(Generator& generator, int64_t least, int64_t most) const;

  std::string to_json() const;
  /// Throws Error naming `source`.
  static LengthDistribution from_json(std::string_view text, const std::string& source);

 private:
  std::vector<int64_t> counts_;
  int64_t total_ = 0;
};

}  // namespace haze

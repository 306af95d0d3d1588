#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/tools/text/length_distribution.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// How many tokens a gap may have.
struct GapBounds {
  int64_t least = 1;
  int64_t most = 1;
  friend bool operator==(const GapBounds&, const GapBounds&) = default;
};

/// A text of which some tokens are to be filled in:
///   _       one token                _{3}    three tokens
///   _*      any number of tokens     _{2,5}  two to five
///   _+      at least one             _{2,}   two or more
///                                    _{,5}   at most five
/// A backslash before one of _ * + { and \ makes it a character of the text.
class GappedText {
 public:
  /// `text` for a model that takes `max_length` tokens. Where ends are fixed, an end token follows. Throws
  /// Error where the text has no gap or is too long, where a gap's bounds are wrong, and where a word or
  /// character is unknown.
  GappedText(const Tokenizer& tokenizer, const std::string& text, int64_t max_length,
             bool ends_are_fixed = true);

  const std::vector<GapBounds>& gaps() const { return gaps_; }
  /// The fewest and the most tokens of the whole text, its end token among them.
  GapBounds length() const { return length_; }

  /// The text with sizes of gaps that are drawn. The text's length is drawn from `lengths`, among the lengths
  /// that are allowed; where no text has one of them, it is the nearest allowed one to the longest text. Of
  /// the ways to divide the tokens among the gaps within their bounds, each is equally likely.
  Request request(const LengthDistribution& lengths, Generator& generator) const;

 private:
  void bound_gaps(int64_t max_length);
  void count_ways();
  std::vector<int64_t> draw_sizes(int64_t tokens, Generator& generator) const;

  std::vector<std::vector<int32_t>> pieces_;  // one more than gaps, which stand between them
  std::vector<GapBounds> gaps_;               // with no more than the text has room for
  bool ends_are_fixed_;
  GapBounds length_;
  int64_t fewest_ = 0;  // tokens: those that are given, and the least of each gap
  // [gap][tokens]: in how many ways the gaps from this one on can share tokens beyond their least numbers.
  std::vector<std::vector<long double>> ways_;
};

/// `text` with a backslash before what would be a gap, so that all of it is given.
std::string without_gaps(const std::string& text);

}  // namespace haze

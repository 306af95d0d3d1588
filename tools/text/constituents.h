#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// The words [begin, end) of a text as one phrase, such as NP.
struct Constituent {
  int64_t begin = 0, end = 0;
  std::string label;
  friend bool operator==(const Constituent&, const Constituent&) = default;
};

/// A text with its constituents.
struct BracketedText {
  std::vector<std::string> words;
  std::vector<std::string> tags;          ///< one a word, as written, such as NN; "" where it has none
  std::vector<Constituent> constituents;  ///< in the order of their opening brackets, without ROOT
};

/// Reads a tree in the notation of the Penn Treebank, such as `(S (NP (DT the) (NN pub)) (VP (VBZ lies)))`. A
/// bracket around one word is its tag where `labels` does not hold it, and a constituent otherwise; words may
/// also stand without a tag: `(S (NP * *) *)`. Several trees may follow one another. Throws Error where
/// brackets are not balanced, one holds no word or has no label, or a word stands outside.
BracketedText read_brackets(std::string_view text, const std::vector<std::string>& labels);

/// The opposite, with a `*` for every word, and blanks between all symbols: `( S ( NP * * ) * )`. The
/// constituents are nested or apart, in the order of their opening brackets. Throws Error otherwise.
std::string written_brackets(const std::vector<Constituent>& constituents, int64_t words);

}  // namespace haze

#pragma once

#include <string_view>
#include <vector>

#include "haze/diffusion/batch.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// The spelling of texts' words; a word that occurs often is spelt once.
class TextSpelling {
 public:
  /// Adds a text of blank-separated words.
  void add(std::string_view text);
  /// That of the texts `indices`, counted in the order of add(), each with an end token.
  Spelling of(std::span<const int64_t> indices) const;

 private:
  TokenMap<int32_t> numbers_;                 // of words
  std::vector<std::vector<int32_t>> ngrams_;  // of each word
  std::vector<std::vector<int32_t>> texts_;   // the words of each
};

}  // namespace haze

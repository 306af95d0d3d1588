#include "haze/tools/tasks/text_spelling.h"

#include "haze/tools/text/character_ngrams.h"
#include "haze/tools/text/text_format.h"

namespace haze {

void TextSpelling::add(std::string_view text) {
  std::vector<int32_t>& words = texts_.emplace_back();
  for (const std::string& word : split_words(std::string(text))) {
    const auto [found, is_new] = numbers_.emplace(word, static_cast<int32_t>(ngrams_.size()));
    if (is_new) ngrams_.push_back(character_ngrams(word));
    words.push_back(found->second);
  }
}

Spelling TextSpelling::of(std::span<const int64_t> indices) const {
  std::vector<int32_t> ngrams, tokens;
  int32_t token = 0;
  for (const int64_t index : indices) {
    for (const int32_t word : texts_.at(static_cast<size_t>(index))) {
      const std::vector<int32_t>& of_word = ngrams_[static_cast<size_t>(word)];
      ngrams.insert(ngrams.end(), of_word.begin(), of_word.end());
      tokens.insert(tokens.end(), of_word.size(), token++);
    }
    ++token;  // the end token
  }
  return {Tensor::from(ngrams, {std::ssize(ngrams)}), Tensor::from(tokens, {std::ssize(tokens)})};
}

}  // namespace haze

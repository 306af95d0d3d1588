#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// Whether `a` becomes `an` before this word: by its first letter, and a short list of exceptions of sound.
bool takes_an(std::string_view next_word);

/// `word` with its first letter, where that is of a to z, as a capital.
std::string with_capital(std::string_view word);

/// The words of a grammar's rules as a text has them. The next word decides between `a` and `an`; the start
/// and every full stop bring a capital.
std::vector<std::string> written_words(std::vector<std::string> words);

/// The common form of words that can be written the same way in one text: small letters, and `a` for `an`.
std::string spelling_class(std::string_view word);

/// The universal part-of-speech tag (Petrov, Das & McDonald 2012, in the names of Universal Dependencies v2)
/// of a word with a Penn Treebank tag. Throws Error for a tag that it does not know.
std::string universal_tag(std::string_view word, std::string_view penn_tag);

/// Whether universal_tag() knows the Penn Treebank tag.
bool is_penn_tag(std::string_view tag);

}  // namespace haze

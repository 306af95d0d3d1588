#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// Whether tokens stand directly before and after a text that is part of a longer one.
struct TextNeighbours {
  bool before = false, after = false;
};

/// Words and punctuation as separate tokens, from which the text comes back character by character.
///
/// A token is a word, a punctuation mark, or white space. Two tokens have one blank between them, unless one
/// is white space, or a mark carries the joiner ￭ on that side. So `"Go, now."` becomes `"￭`, `Go`, `￭,`,
/// `now`, `￭.`, `￭"`. The joiner annotation is that of OpenNMT's tokeniser (Klein et al. 2017, OpenNMT:
/// Open-source toolkit for neural machine translation); here marks alone carry it.
///
/// - A mark is ASCII's punctuation but "_", or of the ranges kMarks of the .cpp: Latin-1's punctuation,
///   U+2000 to U+206F but U+200C and U+200D, currencies, symbols of U+2190 to U+2BFF, emoji, and punctuation
///   of Hebrew, Arabic, Devanagari and East Asia. A run of the same mark is one token, as "--".
/// - A word is a run of all other characters but white space: letters and digits of any script, and "_". It
///   includes an apostrophe between letters, as in don't, and a full stop or comma between digits, as in
///   3.14 (Unicode Standard Annex 29, WB6, WB7, WB11, WB12).
/// - White space is that of ASCII; Unicode's other blanks, such as U+2003, are marks. A line end is a token,
///   and so is a tab, a run of blanks, and a blank at the beginning or the end. A single blank between two
///   other tokens is none.
///
/// `text` is valid UTF-8.
void for_each_word_punctuation(std::string_view text, TextNeighbours neighbours,
                               const std::function<void(std::string_view)>& visit);

/// The same tokens in a list.
std::vector<std::string> split_word_punctuation(std::string_view text, TextNeighbours neighbours = {});

/// The text of tokens that split_word_punctuation() gave, and of any others by the same rule.
std::string join_word_punctuation(std::span<const std::string_view> tokens);

/// Whether split_word_punctuation() can give `token`, which is valid UTF-8. A token that holds the joiner's
/// own character inside does not count.
bool is_word_punctuation_token(std::string_view token);

/// A token without the joiners at its ends.
std::string_view without_joiners(std::string_view token);

}  // namespace haze

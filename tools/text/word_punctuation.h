#pragma once

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
/// - A word is a run of letters and digits. It includes an apostrophe between letters, as in don't, and a
///   full stop or comma between digits, as in 3.14 (Unicode Standard Annex 29, WB6, WB7, WB11, WB12).
/// - A mark is any other character, or a run of the same one: "--" and "..." are one token each.
/// - White space is a token: a line end, a tab, a run of blanks, a blank at the beginning or the end. A
///   single blank between two other tokens is none.
///
/// `text` is valid UTF-8.
std::vector<std::string> split_word_punctuation(std::string_view text, TextNeighbours neighbours = {});

/// The text of tokens that split_word_punctuation() gave, and of any others by the same rule.
std::string join_word_punctuation(std::span<const std::string_view> tokens);

/// Whether split_word_punctuation() can give `token`, which is valid UTF-8. A token that holds the joiner's
/// own character inside does not count.
bool is_word_punctuation_token(std::string_view token);

/// A token without the joiners at its ends.
std::string_view without_joiners(std::string_view token);

}  // namespace haze

#pragma once

#include <algorithm>
#include <string_view>

namespace haze {

/// What separates words: ASCII's white space.
inline constexpr std::string_view kBlanks = " \t\n\v\f\r";

/// Calls `visit` with every word of a text, which blanks separate.
template <typename Visit>
void for_each_word(std::string_view text, Visit visit) {
  size_t begin = text.find_first_not_of(kBlanks);
  while (begin != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kBlanks, begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = text.find_first_not_of(kBlanks, end);
  }
}

}  // namespace haze

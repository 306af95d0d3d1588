#include "haze/nn/nesting.h"

#include <algorithm>

#include "haze/engine/error.h"

namespace haze {
namespace {

/// The bytes of the string or comment that `text` begins with; 0 where it begins with neither. JSON's strings
/// are TOML's basic ones.
size_t skipped_bytes(std::string_view text) {
  const char quote = text.front();
  if (quote == '#') return std::min(text.find('\n'), text.size());
  if (quote != '"' && quote != '\'') return 0;
  const bool is_long = text.size() >= 3 && text[1] == quote && text[2] == quote;
  for (size_t at = is_long ? 3 : 1; at < text.size(); ++at) {
    if (text[at] == '\\' && quote == '"') {
      ++at;
    } else if (text[at] == quote) {
      if (!is_long) return at + 1;
      if (text.substr(at).starts_with(text.substr(0, 3))) return at + 3;
    } else if (text[at] == '\n' && !is_long) {
      return at;
    }
  }
  return text.size();
}

}  // namespace

void require_shallow(std::string_view text, const std::string& source) {
  int depth = 0, parts = 1;
  for (size_t at = 0; at < text.size(); ++at) {
    if (const size_t skipped = skipped_bytes(text.substr(at)); skipped > 0) {
      at += skipped - 1;
      continue;
    }
    const char letter = text[at];
    if (letter == '[' || letter == '{') ++depth;
    if (letter == ']' || letter == '}') --depth;
    // A real number has one point, and a comma or a line's end behind it.
    parts = letter == '.' ? parts + 1 : std::string_view("=,[]{}\n").find(letter) != text.npos ? 1 : parts;
    if (std::max(depth, parts) > kMostNesting) {
      fail("{}:{}: this is nested more than {} deep", source,
           1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'), kMostNesting);
    }
  }
}

}  // namespace haze

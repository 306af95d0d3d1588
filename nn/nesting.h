#pragma once

#include <string>
#include <string_view>

namespace haze {

/// Brackets inside each other, or parts of a key such as a.b.c, that a text may have.
inline constexpr int kMostNesting = 64;

/// Throws Error where a JSON or TOML text nests more than kMostNesting deep. Its readers call themselves once
/// a level, and a text from a stranger must not be able to exhaust the stack. `source` begins the sentence.
void require_shallow(std::string_view text, const std::string& source);

}  // namespace haze

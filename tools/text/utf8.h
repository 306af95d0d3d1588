#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace haze {

/// Number of bytes, 1 to 4, of the UTF-8 code point that `text` begins with; 0 where `text` is empty or does
/// not begin with well-formed UTF-8. Overlong forms, surrogates and code points above U+10FFFF are not
/// well-formed (The Unicode Standard 15.0, table 3-7).
size_t utf8_code_point_bytes(std::string_view text);

/// The code point that `text` begins with, which is well-formed UTF-8 and not empty.
char32_t utf8_code_point(std::string_view text);

/// Index of the first byte that is not part of a well-formed code point; none where all of `text` is valid.
std::optional<size_t> first_invalid_utf8(std::string_view text);

/// Throws Error naming the byte, counted from 1, where `text` stops being valid UTF-8; `what` names the text.
void require_utf8(std::string_view text, std::string_view what);

/// U+FEFF in UTF-8, with which some programs begin a file.
inline constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
/// `beginning`, of a file, without the byte order mark that may be there.
std::string_view without_byte_order_mark(std::string_view beginning);

/// The first code points of `text` that fit in `max_bytes`, with "..." after them where something was left
/// out.
std::string excerpt(std::string_view text, size_t max_bytes = 40);

}  // namespace haze

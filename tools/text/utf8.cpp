#include "haze/tools/text/utf8.h"

#include <algorithm>
#include <cstdint>

#include "haze/engine/error.h"

namespace haze {
namespace {

size_t bytes_announced_by(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 0;
}

// Only the second byte's range depends on the lead: that is what shuts out overlong forms and surrogates.
bool second_byte_fits(uint8_t lead, uint8_t second) {
  const uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  return second >= lowest && second <= highest;
}

}  // namespace

size_t utf8_code_point_bytes(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t bytes = bytes_announced_by(lead);
  if (bytes > text.size()) return 0;
  if (bytes >= 2 && !second_byte_fits(lead, static_cast<uint8_t>(text[1]))) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) return 0;
  }
  return bytes;
}

char32_t utf8_code_point(std::string_view text) {
  const size_t bytes = utf8_code_point_bytes(text);
  // The lead holds 7, 5, 4 or 3 bits, every other byte 6.
  auto point =
      static_cast<char32_t>(static_cast<uint8_t>(text[0]) & (bytes == 1 ? 0x7F : 0xFF >> (bytes + 1)));
  for (size_t i = 1; i < bytes; ++i) point = (point << 6) | (static_cast<uint8_t>(text[i]) & 0x3F);
  return point;
}

std::optional<size_t> first_invalid_utf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const size_t bytes = utf8_code_point_bytes(text.substr(position));
    if (bytes == 0) return position;
    position += bytes;
  }
  return std::nullopt;
}

void require_utf8(std::string_view text, std::string_view what) {
  const auto invalid = first_invalid_utf8(text);
  if (!invalid) return;
  fail("byte {} of {} (0x{:02X}) is not valid UTF-8", *invalid + 1, what,
       static_cast<uint8_t>(text[*invalid]));
}

std::string_view without_byte_order_mark(std::string_view beginning) {
  if (beginning.starts_with(kByteOrderMark)) beginning.remove_prefix(kByteOrderMark.size());
  return beginning;
}

std::string excerpt(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = 0;
  while (true) {
    const size_t bytes = std::max<size_t>(1, utf8_code_point_bytes(text.substr(end)));
    if (end + bytes > max_bytes) break;
    end += bytes;
  }
  return std::string(text.substr(0, end)) + "...";
}

}  // namespace haze

#include "haze/tools/run/terminal.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <sys/ioctl.h>
#include <unistd.h>

namespace haze {
namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool locale_is_utf8() {
  // The order in which the C library looks for the encoding (POSIX, "Environment Variables").
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view locale = environment(name);
    if (locale.empty()) continue;
    return locale.find("UTF-8") != std::string_view::npos || locale.find("utf8") != std::string_view::npos;
  }
  return false;
}

struct Character {
  std::uint32_t code_point;
  std::size_t bytes;
};

/// The first character of a text that is not empty; a byte that starts no whole character stands for itself.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const std::size_t length = byte(0) < 0xC0 ? 1 : byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (length == 1 || text.size() < length) return {byte(0), 1};
  std::uint32_t code_point = byte(0) & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {byte(0), 1};
    code_point = (code_point << 6) | (byte(i) & 0x3Fu);
  }
  return {code_point, length};
}

struct Range {
  std::uint32_t first, last;
};

template <std::size_t count>
bool is_within(const std::array<Range, count>& ranges, std::uint32_t code_point) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](Range range) { return code_point >= range.first && code_point <= range.last; });
}

int width_of(std::uint32_t code_point) {
  // Blocks that Unicode's East Asian Width (UAX 11) calls wide, as whole blocks.
  static constexpr std::array<Range, 9> kWide = {{{0x1100, 0x115F},
                                                  {0x2E80, 0x303E},
                                                  {0x3041, 0xA4CF},
                                                  {0xA960, 0xA97C},
                                                  {0xAC00, 0xD7A3},
                                                  {0xF900, 0xFAFF},
                                                  {0xFE30, 0xFE6F},
                                                  {0xFF01, 0xFF60},
                                                  {0x1F300, 0x3FFFD}}};
  static constexpr std::array<Range, 4> kCombining = {
      {{0x0300, 0x036F}, {0x1160, 0x11FF}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}}};
  if (is_within(kCombining, code_point)) return 0;
  return is_within(kWide, code_point) ? 2 : 1;
}

}  // namespace

TerminalAbilities terminal_abilities(int file_descriptor) {
  const bool interactive = isatty(file_descriptor) == 1 && environment("TERM") != "dumb";
  return {.interactive = interactive,
          .colour = interactive && environment("NO_COLOR").empty(),
          .unicode = locale_is_utf8()};
}

int terminal_width(int file_descriptor) {
  winsize size{};
  if (ioctl(file_descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

int display_width(std::string_view text) {
  int columns = 0;
  while (!text.empty()) {
    const Character character = first_character(text);
    columns += width_of(character.code_point);
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string_view cut_to_width(std::string_view text, int columns) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character character = first_character(text.substr(bytes));
    columns -= width_of(character.code_point);
    if (columns < 0) break;
    bytes += character.bytes;
  }
  return text.substr(0, bytes);
}

std::string without_control_characters(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_c1 = byte == 0xC2 && i + 1 < text.size() &&
                       static_cast<unsigned char>(text[i + 1]) < 0xA0 &&
                       static_cast<unsigned char>(text[i + 1]) >= 0x80;
    if (byte < 0x20) {
      clean += "\xE2\x90";
      clean += static_cast<char>(0x80 + byte);
    } else if (byte == 0x7F) {
      clean += "\xE2\x90\xA1";
    } else if (is_c1) {
      clean += "\xEF\xBF\xBD";
      ++i;
    } else {
      clean += text[i];
    }
  }
  return clean;
}

std::string without_escape_sequences(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\n\t"), text.size());
    clean += without_control_characters(text.substr(0, end));
    if (end < text.size()) clean += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return clean;
}

void say(std::string_view line) {
  std::fputs((without_escape_sequences(line) + "\n").c_str(), stderr);
}

std::string for_stream(std::string text, int file_descriptor) {
  return isatty(file_descriptor) == 1 ? without_escape_sequences(text) : text;
}

}  // namespace haze

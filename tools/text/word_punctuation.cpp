#include "haze/tools/text/word_punctuation.h"

#include <algorithm>
#include <array>

#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr std::string_view kJoiner = "\uFFED";

enum class Kind { word, mark, space };

struct Piece {
  std::string_view text;
  Kind kind;
  bool after_blank;  // a single blank, which is no token
};

struct Range {
  char32_t first, last;
};

/// Blocks of punctuation and symbols beyond ASCII, without the letters among them.
constexpr std::array kMarks{
    Range{0xA0, 0xA9},     Range{0xAB, 0xB4},     Range{0xB6, 0xB9},     Range{0xBB, 0xBF},
    Range{0xD7, 0xD7},     Range{0xF7, 0xF7},     Range{0x60C, 0x60C},   Range{0x61B, 0x61B},
    Range{0x61F, 0x61F},   Range{0x6D4, 0x6D4},   Range{0x964, 0x965},   Range{0x2000, 0x200B},
    Range{0x200E, 0x206F}, Range{0x20A0, 0x20CF}, Range{0x2190, 0x2BFF}, Range{0x2E00, 0x2E7F},
    Range{0x3000, 0x3004}, Range{0x3008, 0x3020}, Range{0x3030, 0x3030}, Range{0x30FB, 0x30FB},
    Range{0xFE10, 0xFE1F}, Range{0xFE30, 0xFE6F}, Range{0xFF01, 0xFF0F}, Range{0xFF1A, 0xFF20},
    Range{0xFF3B, 0xFF40}, Range{0xFF5B, 0xFF65}, Range{0xFFE0, 0xFFFF}, Range{0x1F000, 0x1FAFF}};

bool is_digit(char32_t point) {
  return point >= '0' && point <= '9';
}

Kind kind_of(char32_t point) {
  if (point == ' ' || (point >= '\t' && point <= '\r')) return Kind::space;
  if (point < 0x80) {
    const char32_t small = point | 0x20;
    const bool is_word = is_digit(point) || (small >= 'a' && small <= 'z') || point == '_';
    return is_word ? Kind::word : Kind::mark;
  }
  const auto holds = [&](Range range) { return point >= range.first && point <= range.last; };
  return std::any_of(kMarks.begin(), kMarks.end(), holds) ? Kind::mark : Kind::word;
}

/// The code point at the beginning of a text that is not empty.
std::string_view first_of(std::string_view text) {
  return text.substr(0, utf8_code_point_bytes(text));
}

/// Whether a mark joins the characters beside it into one word.
bool joins_word(char32_t before, char32_t mark, char32_t after) {
  if (kind_of(after) != Kind::word) return false;
  if (mark == '\'' || mark == U'\u2019') return !is_digit(before) && !is_digit(after);
  return (mark == '.' || mark == ',') && is_digit(before) && is_digit(after);
}

size_t word_bytes(std::string_view text) {
  size_t bytes = 0;
  char32_t before = 0;
  while (bytes < text.size()) {
    const std::string_view here = first_of(text.substr(bytes)), rest = text.substr(bytes + here.size());
    const char32_t point = utf8_code_point(here);
    const bool is_inside = kind_of(point) == Kind::word ||
                           (!rest.empty() && joins_word(before, point, utf8_code_point(first_of(rest))));
    if (!is_inside) break;
    bytes += here.size();
    before = point;
  }
  return bytes;
}

/// Bytes of the run of the character that `text` begins with.
size_t run_bytes(std::string_view text) {
  const std::string_view first = first_of(text);
  size_t bytes = first.size();
  while (text.substr(bytes).starts_with(first)) bytes += first.size();
  return bytes;
}

size_t space_bytes(std::string_view text) {
  if (text.starts_with("\r\n")) return 2;
  return text.front() == ' ' ? run_bytes(text) : 1;
}

bool is_space(std::string_view token) {
  return !token.empty() && kind_of(static_cast<unsigned char>(token.front())) == Kind::space;
}

/// The pieces of a text; `ends_in_blank` tells of a last blank that is no token.
std::vector<Piece> pieces_of(std::string_view text, TextNeighbours neighbours, bool& ends_in_blank) {
  std::vector<Piece> pieces;
  bool after_blank = false;
  while (!text.empty()) {
    const Kind kind = kind_of(utf8_code_point(first_of(text)));
    const size_t bytes = kind == Kind::word   ? word_bytes(text)
                         : kind == Kind::mark ? run_bytes(text)
                                              : space_bytes(text);
    const std::string_view piece = text.substr(0, bytes);
    text.remove_prefix(bytes);
    const bool has_before = pieces.empty() ? neighbours.before : pieces.back().kind != Kind::space;
    const bool has_after = text.empty() ? neighbours.after : !is_space(text);
    if (piece == " " && has_before && has_after) {
      after_blank = true;
      continue;
    }
    pieces.push_back({piece, kind, after_blank});
    after_blank = false;
  }
  ends_in_blank = after_blank;
  return pieces;
}

}  // namespace

std::vector<std::string> split_word_punctuation(std::string_view text, TextNeighbours neighbours) {
  bool ends_in_blank = false;
  const std::vector<Piece> pieces = pieces_of(text, neighbours, ends_in_blank);
  std::vector<std::string> tokens;
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::string& token = tokens.emplace_back();
    const bool is_mark = pieces[i].kind == Kind::mark, is_last = i + 1 == pieces.size();
    const bool touches_before =
        !pieces[i].after_blank && (i == 0 ? neighbours.before : pieces[i - 1].kind != Kind::space);
    const bool touches_word = is_last ? neighbours.after && !ends_in_blank
                                      : pieces[i + 1].kind == Kind::word && !pieces[i + 1].after_blank;
    if (is_mark && touches_before) token += kJoiner;
    token += pieces[i].text;
    if (is_mark && touches_word) token += kJoiner;
  }
  return tokens;
}

std::string join_word_punctuation(std::span<const std::string_view> tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool is_joined = i == 0 || is_space(tokens[i - 1]) || is_space(tokens[i]) ||
                           tokens[i - 1].ends_with(kJoiner) || tokens[i].starts_with(kJoiner);
    if (!is_joined) text += ' ';
    text += without_joiners(tokens[i]);
  }
  return text;
}

bool is_word_punctuation_token(std::string_view token) {
  const std::string_view core = without_joiners(token);
  if (core.empty() || core.find(kJoiner) != std::string_view::npos) return false;
  const std::vector<std::string> tokens = split_word_punctuation(core);
  if (tokens.size() != 1 || tokens.front() != core) return false;
  return core.size() == token.size() || kind_of(utf8_code_point(first_of(core))) == Kind::mark;
}

std::string_view without_joiners(std::string_view token) {
  if (token.starts_with(kJoiner)) token.remove_prefix(kJoiner.size());
  if (token.ends_with(kJoiner)) token.remove_suffix(kJoiner.size());
  return token;
}

}  // namespace haze

#include "haze/tools/text/word_punctuation.h"

#include <algorithm>
#include <array>
#include <optional>

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

/// Blocks of punctuation and symbols beyond ASCII, without the letters among them. The variation selectors
/// FE00 to FE0F choose between looks of a symbol.
constexpr std::array kMarks{
    Range{0xA0, 0xA9},      Range{0xAB, 0xB4},     Range{0xB6, 0xB9},     Range{0xBB, 0xBF},
    Range{0xD7, 0xD7},      Range{0xF7, 0xF7},     Range{0x60C, 0x60C},   Range{0x61B, 0x61B},
    Range{0x5BE, 0x5BE},    Range{0x5C0, 0x5C0},   Range{0x5C3, 0x5C3},   Range{0x5F3, 0x5F4},
    Range{0x61F, 0x61F},    Range{0x6D4, 0x6D4},   Range{0x964, 0x965},   Range{0x2000, 0x200B},
    Range{0x200E, 0x206F},  Range{0x20A0, 0x20CF}, Range{0x2122, 0x2122}, Range{0x2190, 0x2BFF},
    Range{0x2E00, 0x2E7F},  Range{0x3000, 0x3004}, Range{0x3008, 0x3020}, Range{0x3030, 0x3030},
    Range{0x30FB, 0x30FB},  Range{0xFE00, 0xFE1F}, Range{0xFE30, 0xFE6F}, Range{0xFF01, 0xFF0F},
    Range{0xFF1A, 0xFF20},  Range{0xFF3B, 0xFF40}, Range{0xFF5B, 0xFF65}, Range{0xFFE0, 0xFFFF},
    Range{0x1F000, 0x1FAFF}};

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

/// The pieces of a text, one after the other.
class PieceReader {
 public:
  PieceReader(std::string_view text, TextNeighbours neighbours)
      : rest_(text), touches_before_(neighbours.before), has_after_(neighbours.after) {}

  /// Nothing at the end of the text.
  std::optional<Piece> next() {
    after_blank_ = false;
    while (!rest_.empty()) {
      const Kind kind = kind_of(utf8_code_point(first_of(rest_)));
      const size_t bytes = kind == Kind::word   ? word_bytes(rest_)
                           : kind == Kind::mark ? run_bytes(rest_)
                                                : space_bytes(rest_);
      const std::string_view piece = rest_.substr(0, bytes);
      rest_.remove_prefix(bytes);
      const bool touches_after = rest_.empty() ? has_after_ : !is_space(rest_);
      if (piece == " " && touches_before_ && touches_after) {
        after_blank_ = true;
        continue;
      }
      touches_before_ = kind != Kind::space;
      return Piece{piece, kind, after_blank_};
    }
    return std::nullopt;
  }

  /// Whether the text has ended in a single blank, which is no token.
  bool ends_in_blank() const { return after_blank_; }

 private:
  std::string_view rest_;
  bool touches_before_, has_after_, after_blank_ = false;
};

}  // namespace

void for_each_word_punctuation(std::string_view text, TextNeighbours neighbours,
                               const std::function<void(std::string_view)>& visit) {
  PieceReader reader(text, neighbours);
  bool has_before = neighbours.before;
  std::string mark;
  for (std::optional<Piece> piece = reader.next(); piece;) {
    const std::optional<Piece> next = reader.next();
    if (piece->kind == Kind::mark) {
      const bool touches_before = has_before && !piece->after_blank;
      const bool touches_word =
          next ? next->kind == Kind::word && !next->after_blank : neighbours.after && !reader.ends_in_blank();
      mark.clear();
      if (touches_before) mark += kJoiner;
      mark += piece->text;
      if (touches_word) mark += kJoiner;
      visit(mark);
    } else {
      visit(piece->text);
    }
    has_before = piece->kind != Kind::space;
    piece = next;
  }
}

std::vector<std::string> split_word_punctuation(std::string_view text, TextNeighbours neighbours) {
  std::vector<std::string> tokens;
  for_each_word_punctuation(text, neighbours, [&](std::string_view token) { tokens.emplace_back(token); });
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

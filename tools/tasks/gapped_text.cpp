#include "haze/tools/tasks/gapped_text.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>
#include <string_view>

#include "haze/tools/tasks/text_requests.h"

namespace haze {
namespace {

constexpr int64_t kAny = std::numeric_limits<int32_t>::max();
constexpr std::string_view kEscaped = "_*+{\\";

// A number of tokens at the front of `text`, which loses it; `fallback` where there is none.
int64_t take_number(std::string_view& text, int64_t fallback) {
  int64_t number = fallback;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) fail("infill: a gap has more tokens than any text");
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  return number;
}

// The bounds in "{2,5}", which `text` begins with and loses.
GapBounds take_braces(std::string_view& text) {
  const std::string_view whole = text.substr(0, text.find('}') + 1);
  text.remove_prefix(1);
  GapBounds gap;
  gap.least = gap.most = take_number(text, -1);
  if (text.starts_with(',')) {
    text.remove_prefix(1);
    gap.least = std::max<int64_t>(gap.least, 0);
    gap.most = take_number(text, kAny);
  }
  if (!text.starts_with('}') || gap.least < 0 || gap.most < gap.least || gap.most == 0) {
    fail("infill: a gap is _, _*, _+, _{{3}}, _{{2,5}} or _{{2,}}, not '_{}'; \\{{ is the brace itself",
         whole.empty() ? "{" : whole);
  }
  text.remove_prefix(1);
  return gap;
}

// The gap whose "_" has been taken from the front of `text`; what says its size is taken too.
GapBounds take_gap(std::string_view& text) {
  if (text.starts_with('{')) return take_braces(text);
  if (!text.starts_with('*') && !text.starts_with('+')) return {};
  const GapBounds gap{text.front() == '*' ? 0 : 1, kAny};
  text.remove_prefix(1);
  return gap;
}

// 64 gaps can share 4,096 tokens in more ways than a double can count.
using Ways = std::vector<std::vector<long double>>;

// In how many ways the gaps from each on can have a number of tokens: [gap][tokens], up to `most` tokens.
Ways ways(const std::vector<GapBounds>& gaps, int64_t most) {
  Ways table(gaps.size() + 1, std::vector<long double>(static_cast<size_t>(most) + 1));
  table.back()[0] = 1;
  for (size_t gap = gaps.size(); gap-- > 0;) {
    for (int64_t tokens = 0; tokens <= most; ++tokens) {
      for (int64_t own = gaps[gap].least; own <= std::min(gaps[gap].most, tokens); ++own)
        table[gap][static_cast<size_t>(tokens)] += table[gap + 1][static_cast<size_t>(tokens - own)];
    }
  }
  return table;
}

// Sizes of the gaps that are `tokens` together, each of the ways equally likely.
std::vector<int64_t> draw_sizes(const std::vector<GapBounds>& gaps, int64_t tokens, Generator& generator) {
  const Ways table = ways(gaps, tokens);
  std::vector<int64_t> sizes;
  for (size_t gap = 0; gap < gaps.size(); ++gap) {
    const auto rest = [&](int64_t own) { return table[gap + 1][static_cast<size_t>(tokens - own)]; };
    long double chosen = generator.uniform() * table[gap][static_cast<size_t>(tokens)];
    int64_t own = gaps[gap].least, last = own;
    for (; own <= std::min(gaps[gap].most, tokens); ++own) {
      if (rest(own) == 0) continue;
      last = own;  // rounding may leave a little beyond the last
      if (chosen < rest(own)) break;
      chosen -= rest(own);
    }
    sizes.push_back(last);
    tokens -= last;
  }
  return sizes;
}

}  // namespace

GappedText::GappedText(const Tokenizer& tokenizer, const std::string& text, int64_t max_length,
                       bool ends_are_fixed)
    : ends_are_fixed_(ends_are_fixed) {
  std::vector<std::string> pieces(1);
  for (std::string_view rest = text; !rest.empty();) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '_') {
      gaps_.push_back(take_gap(rest));
      pieces.emplace_back();
    } else if (c == '\\' && !rest.empty() && kEscaped.find(rest.front()) != std::string_view::npos) {
      pieces.back() += rest.front();
      rest.remove_prefix(1);
    } else {
      pieces.back() += c;
    }
  }
  if (gaps_.empty()) fail("infill: the text has no gap; write _ for every token to be filled in");
  int64_t given = ends_are_fixed, least = 0, most = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const TextNeighbours neighbours{.before = i > 0, .after = i + 1 < pieces.size()};
    pieces_.push_back(known_tokens(tokenizer, pieces[i], "infill", neighbours));
    given += std::ssize(pieces_.back());
  }
  for (const GapBounds& gap : gaps_) least += gap.least;
  if (given + least > max_length) {
    fail("infill: the text has {} tokens with its end, the model takes {}", given + least, max_length);
  }
  for (GapBounds& gap : gaps_) {
    gap.most = std::min(gap.most, max_length - given - least + gap.least);
    most += gap.most;
  }
  length_ = {given + least, std::min(given + most, max_length)};
  length_.least = std::max<int64_t>(length_.least, 1);
}

Request GappedText::request(const LengthDistribution& lengths, Generator& generator) const {
  int64_t given = ends_are_fixed_;
  for (const std::vector<int32_t>& piece : pieces_) given += std::ssize(piece);
  const bool is_known = length_.least == length_.most;
  const int64_t length =
      is_known ? length_.least : lengths.draw_between(generator, length_.least, length_.most);
  const std::vector<int64_t> sizes = draw_sizes(gaps_, length - given, generator);
  Request request;
  const auto append = [&](int32_t token, uint8_t fixed) {
    request.start.push_back(token);
    request.fixed.push_back(fixed);
  };
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (i > 0) {
      for (int64_t token = 0; token < sizes[i - 1]; ++token) append(Tokenizer::kPad, 0);
    }
    for (const int32_t token : pieces_[i]) append(token, 1);
  }
  if (ends_are_fixed_) append(Tokenizer::kEnd, 1);
  return request;
}

std::string without_gaps(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '_' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

}  // namespace haze

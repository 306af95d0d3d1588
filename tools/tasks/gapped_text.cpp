#include "haze/tools/tasks/gapped_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

#include "haze/tools/tasks/text_requests.h"

namespace haze {
namespace {

constexpr int64_t kAny = std::numeric_limits<int64_t>::max();
// The table of ways has at most so many counts: 256 MB.
constexpr int64_t kMostCounts = 1 << 24;
constexpr std::string_view kEscaped = "_*+{\\";

// A number of tokens at the front of `text`, which loses it; none where there is none.
std::optional<int64_t> take_number(std::string_view& text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return {};
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) fail("infill: a gap has more tokens than any text");
  text.remove_prefix(static_cast<size_t>(rest - text.data()));
  return number;
}

// The bounds in "{2,5}", which `text` begins with and loses.
GapBounds take_braces(std::string_view& text) {
  const std::string_view whole = text.substr(0, text.find('}') + 1);
  text.remove_prefix(1);
  const std::optional<int64_t> first = take_number(text);
  std::optional<int64_t> last = first;
  const bool is_range = text.starts_with(',');
  if (is_range) {
    text.remove_prefix(1);
    last = take_number(text);
  }
  const GapBounds gap{first.value_or(0), last.value_or(kAny)};
  if (!text.starts_with('}') || !(first || last) || gap.most < gap.least || gap.most == 0) {
    fail(
        "infill: a gap is _, _*, _+, _{{3}}, _{{2,5}}, _{{2,}} or _{{,5}}, not '_{}'; \\{{ is the brace "
        "itself",
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

// At each number, the sum of the last `width` numbers up to it. Blocks of `width` numbers are summed from
// both of their ends. Nothing is subtracted: differences of running sums would lose small counts beside large
// ones.
std::vector<long double> window_sums(const std::vector<long double>& numbers, size_t width) {
  std::vector<long double> from_begin = numbers, to_end = numbers;
  for (size_t i = 1; i < numbers.size(); ++i) {
    if (i % width != 0) from_begin[i] += from_begin[i - 1];
  }
  for (size_t i = numbers.size() - 1; i-- > 0;) {
    if ((i + 1) % width != 0) to_end[i] += to_end[i + 1];
  }
  std::vector<long double> sums = from_begin;
  for (size_t last = width; last < numbers.size(); ++last) {
    const size_t first = last + 1 - width;
    if (first % width != 0) sums[last] += to_end[first];
  }
  return sums;
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
  for (size_t i = 0; i < pieces.size(); ++i) {
    const TextNeighbours neighbours{.before = i > 0, .after = i + 1 < pieces.size()};
    pieces_.push_back(known_tokens(tokenizer, pieces[i], "infill", neighbours));
  }
  bound_gaps(max_length);
  count_ways();
}

void GappedText::bound_gaps(int64_t max_length) {
  int64_t given = ends_are_fixed_;
  for (const std::vector<int32_t>& piece : pieces_) given += std::ssize(piece);
  fewest_ = given;
  for (const GapBounds& gap : gaps_) {
    // Before it is added: a sum of such numbers could overflow.
    if (gap.least > max_length)
      fail("infill: a gap has {} tokens at least, and the model takes {}", gap.least, max_length);
    fewest_ += gap.least;
  }
  if (fewest_ > max_length)
    fail("infill: the text has {} tokens with its end, the model takes {}", fewest_, max_length);
  int64_t most = given;
  for (GapBounds& gap : gaps_) {
    gap.most = std::min(gap.most, max_length - fewest_ + gap.least);
    most += gap.most;
  }
  length_ = {std::max<int64_t>(fewest_, 1), std::min(most, max_length)};
}

void GappedText::count_ways() {
  const int64_t spare = length_.most - fewest_;
  const auto refuse = [&] { fail("infill: {} gaps are too many to share {} tokens", gaps_.size(), spare); };
  if (std::ssize(gaps_) > kMostCounts / (spare + 1)) refuse();
  std::vector<long double> row(static_cast<size_t>(spare) + 1);
  row[0] = 1;
  ways_ = {row};
  for (auto gap = gaps_.rbegin(); gap != gaps_.rend(); ++gap) {
    row = window_sums(row, static_cast<size_t>(gap->most - gap->least) + 1);
    ways_.push_back(row);
  }
  std::reverse(ways_.begin(), ways_.end());
  for (const long double count : ways_.front()) {
    if (!std::isfinite(count)) refuse();
  }
}

// Sizes of the gaps of a text of `tokens` tokens, each of the ways equally likely.
std::vector<int64_t> GappedText::draw_sizes(int64_t tokens, Generator& generator) const {
  int64_t spare = tokens - fewest_;
  std::vector<int64_t> sizes;
  for (size_t gap = 0; gap < gaps_.size(); ++gap) {
    const auto rest = [&](int64_t own) { return ways_[gap + 1][static_cast<size_t>(spare - own)]; };
    const int64_t most = std::min(gaps_[gap].most - gaps_[gap].least, spare);
    long double chosen = generator.uniform() * ways_[gap][static_cast<size_t>(spare)];
    int64_t last = 0;
    for (int64_t own = 0; own <= most; ++own) {
      if (rest(own) == 0) continue;
      last = own;  // rounding may leave a little beyond the last
      if (chosen < rest(own)) break;
      chosen -= rest(own);
    }
    sizes.push_back(gaps_[gap].least + last);
    spare -= last;
  }
  return sizes;
}

Request GappedText::request(const LengthDistribution& lengths, Generator& generator) const {
  const bool is_known = length_.least == length_.most;
  const int64_t length =
      is_known ? length_.least : lengths.draw_between(generator, length_.least, length_.most);
  const std::vector<int64_t> sizes = draw_sizes(length, generator);
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

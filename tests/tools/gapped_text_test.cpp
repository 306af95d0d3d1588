#include "haze/tools/tasks/gapped_text.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/tools/tasks/text_requests.h"

#include "engine/statistics.h"
#include "error_of.h"
#include "text_tokenizer.h"

using namespace haze;
using namespace haze::testing;

namespace {

Tokenizer words() {
  return tokenizer_of("word", "it is a big pub . snake_case * {2} C:\\dir _");
}

// Texts of 3 to 9 tokens; none has 6.
const std::vector<int64_t> kCounts = {0, 0, 0, 10, 20, 30, 0, 15, 5, 20};

GappedText gapped(const std::string& text, int64_t max_length = 12) {
  return GappedText(words(), text, max_length);
}

// The text with "_" in every open token's place and without its end token.
std::string shown(const Tokenizer& tokenizer, const Request& request) {
  std::string result;
  for (size_t i = 0; i + 1 < request.start.size(); ++i) {
    if (i > 0) result += ' ';
    result += request.fixed[i] ? std::string(tokenizer.token(request.start[i])) : "_";
  }
  CHECK(request.start.back() == Tokenizer::kEnd);
  CHECK(request.fixed.back() == 1);
  return result;
}

std::map<std::string, int64_t> drawn(const std::string& text, int count, int64_t max_length = 12) {
  const Tokenizer tokenizer = words();
  const GappedText gaps(tokenizer, text, max_length);
  Generator generator(11);
  std::map<std::string, int64_t> seen;
  for (int i = 0; i < count; ++i)
    ++seen[shown(tokenizer, gaps.request(LengthDistribution(kCounts), generator))];
  return seen;
}

}  // namespace

TEST_CASE("a gap has one token, a number, between two numbers, at least one, or any number") {
  using Gaps = std::vector<GapBounds>;
  CHECK(gapped("_").gaps() == Gaps{{1, 1}});
  CHECK(gapped("___").gaps() == Gaps{{1, 1}, {1, 1}, {1, 1}});
  CHECK(gapped("it _{3} pub").gaps() == Gaps{{3, 3}});
  CHECK(gapped("it _{2,5}").gaps() == Gaps{{2, 5}});
  // No more than the text has room for: 12 tokens, of which two are given.
  CHECK(gapped("it _{2,}").gaps() == Gaps{{2, 10}});
  CHECK(gapped("it _*").gaps() == Gaps{{0, 10}});
  CHECK(gapped("it _+").gaps() == Gaps{{1, 10}});
  CHECK(gapped("it _{,4}").gaps() == Gaps{{0, 4}});
  CHECK(gapped("_* it _{3} _").gaps() == Gaps{{0, 6}, {3, 3}, {1, 1}});
  CHECK(gapped("_* it _{3} _").length() == GapBounds{6, 12});
}

TEST_CASE("a backslash makes a character of the text of what would be a gap") {
  const auto text_of = [](const std::string& text) { return drawn(text, 1).begin()->first; };
  CHECK(text_of("snake\\_case _") == "snake_case _");
  CHECK(text_of("\\_ _{2} \\_") == "_ _ _ _");
  CHECK(text_of("_ \\* pub") == "_ * pub");
  CHECK(text_of("_\\* pub") == "_ * pub");
  CHECK(text_of("_\\{2} pub") == "_ {2} pub");
  CHECK(text_of("C:\\dir _") == "C:\\dir _");
  CHECK(text_of("C:\\\\dir _") == "C:\\dir _");
  CHECK(text_of("_ * pub") == "_ * pub");
  for (const std::string text : {"snake_case", "C:\\dir", "* {2} _", "a _* b"})
    CHECK_MESSAGE(error_of([&] { gapped(without_gaps(text)); }).find("has no gap") != std::string::npos,
                  text);
  CHECK(text_of(without_gaps("snake_case C:\\dir * {2} _") + " _") == "snake_case C:\\dir * {2} _ _");
}

TEST_CASE("a gap that is none, or has no room, gets one sentence") {
  for (const char* text : {"_{} it", "_{5,2}", "_{-1}", "_{0}", "_{0,0}", "_{2", "_{2;3}", "_{a}", "_{",
                           "_{-5,3}", "_{2,-3}", "_{,}", "_{,0}", "_{+3}"})
    CHECK_MESSAGE(error_of([&] {
                    gapped(text);
                  }).find("infill: a gap is _, _*, _+, _{3}, _{2,5}, _{2,} or _{,5}, not") == 0,
                  text);
  CHECK(error_of([&] { gapped("_{99999999999999999999}"); }) ==
        "infill: a gap has more tokens than any text");
  CHECK(error_of([&] { gapped("_{9223372036854775807}"); }) ==
        "infill: a gap has 9223372036854775807 tokens at least, and the model takes 12");
  CHECK(error_of([&] { gapped("_{9000000000000000000} _{9000000000000000000}"); }) ==
        "infill: a gap has 9000000000000000000 tokens at least, and the model takes 12");
  CHECK(error_of([&] { gapped("it _{4611686018427387904} _{4611686018427387904} ."); }) ==
        "infill: a gap has 4611686018427387904 tokens at least, and the model takes 12");
  CHECK(error_of([&] { gapped("_{3000000000,}"); }) ==
        "infill: a gap has 3000000000 tokens at least, and the model takes 12");
  CHECK(gapped("_{2,9223372036854775807}").gaps() == std::vector<GapBounds>{{2, 11}});
  CHECK(error_of([&] { gapped("it _{12}"); }) ==
        "infill: the text has 14 tokens with its end, the model takes 12");
  CHECK(error_of([&] { gapped("it \\_"); }).find("has no gap") != std::string::npos);
}

TEST_CASE(
    "the fixed words stay, and a gap's size follows the run's lengths within bounds (99.9% confidence)") {
  // Two words and the end token are given: the text has 3 tokens and those of the gap.
  const auto check = [](const std::string& text, const std::vector<int64_t>& sizes) {
    CAPTURE(text);
    constexpr int kDraws = 4000;
    std::map<std::string, int64_t> seen = drawn(text, kDraws);
    std::vector<int64_t> counts;
    std::vector<double> expected;
    double all = 0;
    for (const int64_t size : sizes) all += static_cast<double>(kCounts[static_cast<size_t>(size + 3)]);
    for (const int64_t size : sizes) {
      std::string wanted = "it ";
      for (int64_t i = 0; i < size; ++i) wanted += "_ ";
      counts.push_back(seen[wanted + "."]);
      seen.erase(wanted + ".");
      expected.push_back(kDraws * static_cast<double>(kCounts[static_cast<size_t>(size + 3)]) / all);
    }
    CHECK(seen.empty());
    CHECK(test::chi_squared(counts, expected) < test::chi_squared_limit(static_cast<int>(sizes.size()) - 1));
  };
  check("it _* .", {0, 1, 2, 4, 5, 6});
  check("it _+ .", {1, 2, 4, 5, 6});
  check("it _{1,4} .", {1, 2, 4});
}

TEST_CASE("every way to divide the tokens among several gaps is equally likely (99.9% confidence)") {
  // 5 tokens in all texts that are drawn: "it", the end, and 3 for the gaps, of which the last has 1 at
  // least.
  constexpr int kDraws = 6000;
  const Tokenizer tokenizer = words();
  const GappedText gaps(tokenizer, "_* it _{0,2} . _+", 12);
  std::vector<int64_t> counts_of_lengths(7);
  counts_of_lengths[6] = 1;
  Generator generator(12);
  std::map<std::string, int64_t> seen;
  for (int i = 0; i < kDraws; ++i)
    ++seen[shown(tokenizer, gaps.request(LengthDistribution(counts_of_lengths), generator))];
  const std::vector<std::string> divisions = {"it . _ _ _", "it _ . _ _", "it _ _ . _",
                                              "_ it . _ _", "_ it _ . _", "_ _ it . _"};
  std::vector<int64_t> counts;
  for (const std::string& one : divisions) counts.push_back(seen[one]);
  CHECK(seen.size() == divisions.size());
  const std::vector<double> expected(divisions.size(), kDraws / static_cast<double>(divisions.size()));
  CHECK(test::chi_squared(counts, expected) <
        test::chi_squared_limit(static_cast<int>(divisions.size()) - 1));
}

TEST_CASE("where no text has a length within the bounds, the nearest to the longest text is taken") {
  CHECK(drawn("it _{3} .", 1).begin()->first == "it _ _ _ .");
  CHECK(drawn("it _{8,9} .", 5) == std::map<std::string, int64_t>{{"it _ _ _ _ _ _ _ _ .", 5}});
  CHECK(drawn("_*", 200, 3).size() == 1);  // of 3 tokens, the fewest that a text has
}

TEST_CASE("gaps share tokens in more ways than a double can count") {
  // 900 gaps share 1799 tokens in C(2698, 899) = 10^744 ways.
  std::string text;
  for (int i = 0; i < 900; ++i) text += "_* it ";
  const Tokenizer tokenizer = words();
  std::vector<int64_t> counts(2701);
  counts[2700] = 1;
  Generator generator(13);
  const Request request = GappedText(tokenizer, text, 2700).request(LengthDistribution(counts), generator);
  CHECK(request.start.size() == 2700);
  CHECK(std::count(request.fixed.begin(), request.fixed.end(), 0) == 2700 - 901);
  // Ways that overflow leave all tokens to the last gaps, or to the first ones.
  const auto open = std::count(request.fixed.begin(), request.fixed.begin() + 1350, 0);
  CHECK(open > 750);
  CHECK(open < 1050);
  std::string longer;
  for (int i = 0; i < 20000; ++i) longer += "_*";
  CHECK(error_of([&] { GappedText(tokenizer, longer, 20000); }) ==
        "infill: 20000 gaps are too many to share 19999 tokens");
}

TEST_CASE("of a few ways among very many sizes each keeps its share (99.9% confidence)") {
  // 120 gaps of at most one token share 119: one of them is empty, each as often as another.
  std::string text;
  for (int i = 0; i < 120; ++i) text += "_{,1} it ";
  const Tokenizer tokenizer = words();
  const GappedText gaps(tokenizer, text, 300);
  std::vector<int64_t> lengths(241);
  lengths[240] = 1;
  Generator generator(14);
  constexpr int kDraws = 3000;
  std::vector<int64_t> counts(120);
  for (int i = 0; i < kDraws; ++i) {
    const Request request = gaps.request(LengthDistribution(lengths), generator);
    REQUIRE(request.start.size() == 240);
    // The tokens are open and given by turns up to the empty gap.
    const auto given = std::adjacent_find(request.fixed.begin(), request.fixed.end(),
                                          [](uint8_t a, uint8_t b) { return a && b; });
    const auto gap = request.fixed.front() ? 0 : (given - request.fixed.begin() + 1) / 2;
    ++counts[static_cast<size_t>(gap)];
  }
  CHECK(test::chi_squared(counts, std::vector<double>(120, kDraws / 120.0)) < test::chi_squared_limit(119));
}

TEST_CASE("punctuation that is part of the run's words is explained, with such a word") {
  const Tokenizer tokenizer = tokenizer_of("word", "The food is good. The pub is big.");
  CHECK(error_of([&] { GappedText(tokenizer, "The _ .", 8); }) ==
        "infill: the model does not know the word '.'; in its texts '.' is part of a word, such as 'big.': a "
        "gap, or a word, holds both");
  CHECK(error_of([&] { GappedText(tokenizer, "The _ ?", 8); }) ==
        "infill: the model does not know the word '?'");
  CHECK(error_of([&] { GappedText(tokenizer, "The _ good", 8); }) ==
        "infill: the model does not know the word 'good'");
}

#include <algorithm>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "haze/tools/run/sampling.h"
#include "haze/tools/run/trace.h"
#include "haze/tools/tasks/tensor_task.h"

using haze::AlignedToken;
using haze::TokenState;
using haze::Trace;
using haze::TraceStep;
using haze::TraceTokens;

namespace {

constexpr auto kMask = std::nullopt;

/// Given tokens that an alignment loses, and its cost otherwise; less is better in this order.
using Cost = std::pair<int, int>;

Cost operator+(Cost a, Cost b) {
  return {a.first + b.first, a.second + b.second};
}

bool is_padding(const std::optional<std::string>& token) {
  return token == "";
}

bool may_be_paired(const TraceTokens& before, const TraceTokens& now, const std::vector<bool>& fixed,
                   std::size_t i, std::size_t j) {
  if (before[i] == now[j]) return true;
  if (fixed[i]) return false;
  return !before[i] || !now[j] || is_padding(before[i]) == is_padding(now[j]);
}

int cost_of_pair(const std::optional<std::string>& before, const std::optional<std::string>& now) {
  if (before == now) return 0;
  return before && now ? 3 : 2;
}

/// The least cost of all alignments, each of which is tried.
Cost least_cost(const TraceTokens& before, const TraceTokens& now, const std::vector<bool>& fixed,
                std::size_t i = 0, std::size_t j = 0) {
  if (i == before.size()) return {0, 2 * static_cast<int>(now.size() - j)};
  Cost least = Cost{fixed[i], 2} + least_cost(before, now, fixed, i + 1, j);
  if (j == now.size()) return least;
  least = std::min(least, Cost{0, 2} + least_cost(before, now, fixed, i, j + 1));
  if (may_be_paired(before, now, fixed, i, j)) {
    least = std::min(least,
                     Cost{0, cost_of_pair(before[i], now[j])} + least_cost(before, now, fixed, i + 1, j + 1));
  }
  return least;
}

/// The cost of an alignment, after a check that it has every token once and in order.
Cost checked_cost(const std::vector<AlignedToken>& alignment, const TraceTokens& before,
                  const TraceTokens& now, const std::vector<bool>& fixed) {
  Cost cost{0, 0};
  std::size_t i = 0, j = 0;
  for (const AlignedToken& token : alignment) {
    REQUIRE((token.before || token.now));
    if (token.before) REQUIRE(*token.before == i++);
    if (token.now) REQUIRE(*token.now == j++);
    if (!token.before) {
      cost = cost + Cost{0, 2};
    } else if (!token.now) {
      cost = cost + Cost{fixed[i - 1], 2};
    } else {
      CHECK(may_be_paired(before, now, fixed, i - 1, j - 1));
      cost = cost + Cost{0, cost_of_pair(before[i - 1], now[j - 1])};
    }
  }
  CHECK(i == before.size());
  CHECK(j == now.size());
  return cost;
}

TraceTokens random_tokens(std::mt19937& random, std::size_t longest) {
  const TraceTokens kinds = {"a", "b", "c", kMask, ""};
  TraceTokens tokens(random() % (longest + 1));
  for (auto& token : tokens) token = kinds[random() % kinds.size()];
  return tokens;
}

std::string line_of(const TraceTokens& before, const TraceTokens& now, const std::vector<bool>& fixed = {},
                    const std::string& separator = " ", haze::TraceStyle style = {}) {
  const TraceStep step{"", before};
  return haze::render_trace_step(&step, {"", now}, fixed, separator, style);
}

struct DrawnText {
  double x, y, width;
  std::string text;
  bool is_deleted;
};

/// The part of a text between `left` and the next `right`.
std::string between(const std::string& text, const std::string& left, const std::string& right) {
  const std::size_t begin = text.find(left);
  if (begin == std::string::npos) return "";
  const std::size_t end = text.find(right, begin + left.size());
  return text.substr(begin + left.size(), end - begin - left.size());
}

/// The texts of each step of an SVG, in the order in which they are drawn.
std::vector<std::vector<DrawnText>> drawn_texts(const std::string& svg) {
  std::vector<std::vector<DrawnText>> steps;
  std::istringstream lines(svg);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("<g class=\"step", 0) == 0) steps.emplace_back();
    if (steps.empty() || line.rfind("<text ", 0) != 0) continue;
    const auto number = [&](const std::string& name) {
      return std::stod(between(line, " " + name + "=\"", "\""));
    };
    steps.back().push_back({number("x"), number("y"), number("textLength"), between(line, ">", "<"),
                            between(line, "class=\"", "\"") == "deleted"});
  }
  return steps;
}

/// Shows texts of words; token 0 is a mask and token 1 padding.
class WordTask : public haze::TensorTask {
 public:
  WordTask() : TensorTask("words") {}
  Trace new_trace(const haze::Request& request) const override {
    return {.steps = {}, .fixed = {request.fixed.begin(), request.fixed.end()}};
  }
  TraceStep trace_step(const haze::Snapshot& snapshot, std::size_t index) const override {
    const TraceTokens words = {kMask, "", "one", "two", "three"};
    TraceStep step;
    for (const int32_t token : (*snapshot.texts)[index])
      step.tokens.push_back(words.at(static_cast<std::size_t>(token)));
    return step;
  }
};

}  // namespace

TEST_CASE("no alignment of two texts costs less than the one of a trace") {
  std::mt19937 random(11);
  int compared = 0;
  for (int i = 0; i < 3000; ++i) {
    const TraceTokens before = random_tokens(random, 5), now = random_tokens(random, 5);
    if (before.size() == now.size()) continue;
    std::vector<bool> fixed(before.size());
    const auto one_in = 1 + random() % 4;
    for (std::size_t k = 0; k < fixed.size(); ++k) fixed[k] = before[k] && random() % one_in == 0;
    const TraceStep from{"", before};
    const auto alignment = haze::align_steps(&from, {"", now}, fixed);
    CHECK(checked_cost(alignment, before, now, fixed) == least_cost(before, now, fixed));
    ++compared;
  }
  CHECK(compared > 2000);
}

TEST_CASE("steps of the same length are aligned position by position") {
  const TraceStep before{"", {"a", "b", "c"}};
  const auto alignment = haze::align_steps(&before, {"", {"b", "c", kMask}}, {});
  REQUIRE(alignment.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(alignment[i].before == i);
    CHECK(alignment[i].now == i);
  }
  CHECK(alignment[0].state == TokenState::kNew);
  CHECK(alignment[2].state == TokenState::kMasked);
}

TEST_CASE("where the length of a text changes, steps of the same length too are aligned by their tokens") {
  const Trace trace{.steps = {{"", {"a", "b"}}, {"", {"a", "b", "c"}}, {"", {"b", "c", "d"}}}};
  CHECK(haze::render_trace(trace, {}) == "[a b]\na b [c]\n-a- b c [d]\n");
}

TEST_CASE("a text that grows behind a prompt shows the prompt as given and one new token a step") {
  const Trace trace{.steps = {{"step 0", {"It", "is"}},
                              {"step 1", {"It", "is", "is"}},
                              {"step 2", {"It", "is", "is", "."}}},
                    .fixed = {true, true}};
  CHECK(haze::render_trace(trace, {}) ==
        "step 0  <It is>\n"
        "step 1  <It is> [is]\n"
        "step 2  <It is> is [.]\n");
}

TEST_CASE("given tokens stay marked where their positions shift, whatever equals them") {
  const Trace trace{
      .steps = {{"", {"a", "b", "a"}}, {"", {"a"}}, {"", {"x", "a", "a", "c"}}, {"", {"a", "c"}}},
      .fixed = {false, false, true}};
  CHECK(haze::render_trace(trace, {}) ==
        "[a b] <a>\n"
        "-a b- <a>\n"
        "[x] <a> [a c]\n"
        "-x- <a> -a- c\n");
  CHECK(line_of({"a", "b"}, {"x", "b", "c"}, {true, false}) == "-a- [x] b [c]");
}

TEST_CASE("a text may begin empty, and may lose all of its tokens") {
  CHECK(line_of({}, {"a", "b"}) == "[a b]");
  CHECK(line_of({"a", "b"}, {}) == "-a b-");
  CHECK(line_of({}, {}) == "");
  CHECK(line_of({}, {kMask, kMask}) == "____ ____");
  const Trace trace{.steps = {{"0", {}}, {"1", {"a"}}, {"2", {}}, {"3", {}}}};
  CHECK(haze::render_trace(trace, {}) == "0  \n1  [a]\n2  -a-\n3  \n");
}

TEST_CASE("tokens are inserted, deleted and replaced anywhere in a text") {
  CHECK(line_of({"b", "c"}, {"a", "b", "c"}) == "[a] b c");
  CHECK(line_of({"a", "b", "c", "d"}, {"b", "d"}) == "-a- b -c- d");
  CHECK(line_of({"a", "b", "c"}, {"a", "x", "c", "d"}) == "a [x] c [d]");
  CHECK(line_of({"a", "b", "c", "d", "e"}, {"b", "c", "d", "e", "f", "g"}) == "-a- b c d e [f g]");
}

TEST_CASE("masks are aligned with the tokens that replace them") {
  CHECK(line_of({"a", kMask, "b"}, {"x", "b"}) == "-a- [x] b");
  CHECK(line_of({"a", kMask, kMask, "b"}, {"a", "x", "b"}) == "a [x] b");
  CHECK(line_of({"a", "b"}, {"a", kMask, "b", kMask}) == "a ____ b ____");
}

TEST_CASE("a deleted token in colour is red and struck through, and neighbours share their marks") {
  CHECK(line_of({"a", "b", "c", "d"}, {"d"}, {}, " ", {.colour = true}) == "\x1b[9;31ma b c\x1b[0m d");
  CHECK(line_of({"한", "국", "어"}, {"한"}, {}, "") == "한-국어-");
}

TEST_CASE("deleted masks and padding are not shown, and a deleted token sends no commands to the terminal") {
  CHECK(line_of({"a", kMask, "b", "", ""}, {"a", "b", ""}) == "a b");
  CHECK(line_of({"a", "\x1b[2J"}, {"a"}) == "a -␛[2J-");
}

TEST_CASE("words of the SVG of a text that changes its length keep their columns") {
  const std::string svg = haze::trace_svg({.steps = {{"", {"a", "pub", "."}},
                                                     {"", {"a", "cheap", "new", "pub", "."}},
                                                     {"", {"Ah", "a", "new", "pub", "."}}}},
                                          "x");
  std::map<std::string, double> columns;
  for (const auto& step : drawn_texts(svg)) {
    for (const DrawnText& text : step) CHECK(columns.emplace(text.text, text.x).first->second == text.x);
  }
  CHECK(columns.size() == 6);
  CHECK(svg.find("class=\"deleted\">cheap</text>") != std::string::npos);
  CHECK(svg.find("class=\"key\" x=\"314\" y=\"48\">deleted</text>") != std::string::npos);
}

TEST_CASE("the SVG shows the tokens of every step in order, deleted ones among them, and none over another") {
  std::mt19937 random(3);
  const char* kWords[] = {"a", "be", "cat", "한국"};
  for (int repetition = 0; repetition < 200; ++repetition) {
    Trace trace;
    for (int step = 0; step < 6; ++step) {
      TraceTokens tokens = trace.steps.empty() ? TraceTokens() : trace.steps.back().tokens;
      for (int edit = 0; edit < 3; ++edit) {
        const auto place = tokens.begin() + static_cast<std::ptrdiff_t>(random() % (tokens.size() + 1));
        if (random() % 3 == 0 && place != tokens.end()) {
          tokens.erase(place);
        } else {
          tokens.insert(place, kWords[random() % 4]);
        }
      }
      if (step > 2) tokens.push_back("");
      trace.steps.push_back({"", tokens});
    }
    const auto drawn = drawn_texts(haze::trace_svg(trace, "x", 30));
    const auto alignments = haze::align_trace(trace);
    REQUIRE(drawn.size() == 6);
    for (std::size_t step = 0; step < 6; ++step) {
      std::vector<std::pair<std::string, bool>> wanted, found;
      for (const AlignedToken& token : alignments[step]) {
        const auto& text =
            token.now ? trace.steps[step].tokens[*token.now] : trace.steps[step - 1].tokens[*token.before];
        if (!text->empty()) wanted.emplace_back(*text, !token.now);
      }
      for (const DrawnText& text : drawn[step]) found.emplace_back(text.text, text.is_deleted);
      CHECK(found == wanted);
      for (std::size_t i = 1; i < drawn[step].size(); ++i) {
        const DrawnText &left = drawn[step][i - 1], &right = drawn[step][i];
        CHECK((right.y > left.y || (right.y == left.y && right.x > left.x + left.width)));
      }
    }
  }
}

TEST_CASE("a trace is drawn of a text that is empty throughout") {
  const std::string svg = haze::trace_svg({.steps = {{"0", {}}, {"1", {}}}}, "x");
  CHECK(drawn_texts(svg).size() == 2);
  CHECK(svg.find("strike") == std::string::npos);
}

TEST_CASE("a trace leaves out steps that add only padding, and what follows a prompt is not given") {
  const WordTask task;
  haze::TraceKeeper keeper(task, {.start = {2}, .fixed = {1}});
  std::vector<std::vector<int32_t>> texts;
  for (const auto& text :
       std::vector<std::vector<int32_t>>{{2, 0}, {2, 3}, {2, 3, 1}, {2, 3, 1, 1}, {2, 4}}) {
    texts = {text};
    keeper.observe({.texts = &texts});
  }
  CHECK(keeper.trace().fixed == std::vector<bool>{true, false});
  CHECK(haze::render_trace(keeper.trace(), {}) == "<one> ____\n<one> [two]\n<one> [three]\n");
}

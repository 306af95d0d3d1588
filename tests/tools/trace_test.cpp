#include "haze/tools/run/trace.h"

#include <algorithm>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include "haze/engine/error.h"
#include "haze/tools/run/svg.h"

using haze::Trace;
using haze::TraceStep;
using haze::TraceStyle;
using haze::TraceTokens;

namespace {

constexpr auto kMask = std::nullopt;

/// "A cheap pub ." word by word, followed by padding; "cheap" is given.
Trace small_trace() {
  return {.steps = {{"t = 1.0", {kMask, "cheap", kMask, kMask, kMask}},
                    {"t = 0.5", {"A", "cheap", "pub", kMask, ""}},
                    {"t = 0", {"A", "cheap", "pub", ".", ""}}},
          .fixed = {false, true, false, false, false}};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("a trace in plain text marks masks, new tokens and given ones") {
  CHECK(haze::render_trace(small_trace(), {}) ==
        "t = 1.0  ____ <cheap> ____ ____ ____\n"
        "t = 0.5  [A] <cheap> [pub] ____\n"
        "t = 0    A <cheap> pub [.]\n");
}

TEST_CASE("a trace in colour has no marks but colours") {
  CHECK(haze::render_trace(small_trace(), {.colour = true, .unicode = true}) ==
        "t = 1.0  \x1b[2m░░░░\x1b[0m \x1b[4mcheap\x1b[0m \x1b[2m░░░░ ░░░░ ░░░░\x1b[0m\n"
        "t = 0.5  \x1b[1;32mA\x1b[0m \x1b[4mcheap\x1b[0m \x1b[1;32mpub\x1b[0m \x1b[2m░░░░\x1b[0m\n"
        "t = 0    A \x1b[4mcheap\x1b[0m pub \x1b[1;32m.\x1b[0m\n");
}

TEST_CASE("a trace of characters has no spaces between them, and new neighbours share their marks") {
  const TraceStep before{"", {"한", kMask, kMask, kMask}};
  const TraceStep now{"", {"한", "국", "어", kMask}};
  CHECK(haze::render_trace_step(&before, now, {}, "", {}) == "한[국어]_");
}

TEST_CASE("a token that changes is new again, and one that is masked again is a mask") {
  const TraceStep before{"", {"a", "b", "c"}};
  const TraceStep now{"", {"x", kMask, "c"}};
  CHECK(haze::render_trace_step(&before, now, {}, " ", {}) == "[x] ____ c");
}

TEST_CASE("a token cannot send commands to the terminal") {
  const TraceStep now{"", {"\x1b[2J", "a\nb"}};
  CHECK(haze::render_trace_step(nullptr, now, {}, " ", {}) == "[␛[2J a␊b]");
}

TEST_CASE("marks of fixed tokens that are too few or too many, and a trace without steps, are refused") {
  const TraceStep before{"", {"a"}};
  const TraceStep now{"", {"a", "b"}};
  CHECK_THROWS_WITH_AS(haze::render_trace_step(nullptr, now, {true}, " ", {}),
                       "a trace has 2 tokens and says of 1 whether they are fixed", haze::Error);
  CHECK_THROWS_WITH_AS(haze::render_trace_step(&before, now, {true, false}, " ", {}),
                       "a trace has 1 tokens and says of 2 whether they are fixed", haze::Error);
  CHECK_THROWS_AS(haze::trace_svg({.steps = {before, now}, .fixed = {true, false}}, "x"), haze::Error);
  CHECK_THROWS_AS(haze::trace_svg({}, "x"), haze::Error);
}

TEST_CASE("chosen steps keep the first and the last and reveal about as many tokens each") {
  Trace trace{.steps = {{"0", TraceTokens(60, kMask)}}};
  std::mt19937 random(5);
  for (int revealed = 0; revealed < 60;) {
    TraceStep step = trace.steps.back();
    step.label = std::to_string(trace.steps.size());
    // Many steps reveal nothing, as in a long chain.
    if (random() % 3 == 0) step.tokens[static_cast<std::size_t>(revealed++)] = "w";
    trace.steps.push_back(step);
  }
  const Trace chosen = haze::choose_steps(trace, 7);
  REQUIRE(chosen.steps.size() == 7);
  CHECK(chosen.steps.back().label == trace.steps.back().label);
  for (std::size_t i = 0; i < 7; ++i) {
    const auto& tokens = chosen.steps[i].tokens;
    CHECK(static_cast<std::size_t>(std::count(tokens.begin(), tokens.end(), "w")) == 10 * i);
  }
  CHECK(haze::choose_steps(chosen, 100).steps.size() == 7);
  CHECK_THROWS_AS(haze::choose_steps(trace, 1), haze::Error);
}

TEST_CASE("chosen steps of a text that grows add about as many tokens each") {
  Trace trace{.steps = {{"0", {}}}};
  for (int length = 1; length <= 60; ++length) {
    trace.steps.push_back(trace.steps.back());
    trace.steps.back().tokens.emplace_back("w");
  }
  const Trace chosen = haze::choose_steps(trace, 7);
  REQUIRE(chosen.steps.size() == 7);
  for (std::size_t i = 0; i < 7; ++i) CHECK(chosen.steps[i].tokens.size() == 10 * i);
}

TEST_CASE("the SVG of a trace shows every step without animation, and leaves out padding") {
  const std::string svg = haze::trace_svg(small_trace(), "Text <appears>");
  CHECK(svg.rfind("<svg xmlns=", 0) == 0);
  CHECK(svg.find("<title>Text &lt;appears&gt;</title>") != std::string::npos);
  CHECK(count(svg, "<g class=\"step") == 3);
  CHECK(count(svg, ">cheap</text>") == 3);
  CHECK(count(svg, ">pub</text>") == 2);
  CHECK(count(svg, "class=\"new\">pub</text>") == 1);
  CHECK(count(svg, "class=\"mask\"") == 3 + 1 + 1);  // the two steps' masks and the key's
  CHECK(count(svg, "class=\"given\"") == 3 + 1);
  // Outside of its keyframes nothing is transparent.
  CHECK(count(svg, "opacity:0") == count(svg, "@keyframes"));
  CHECK(svg.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(svg.find("prefers-reduced-motion:no-preference") != std::string::npos);
}

TEST_CASE("a long text is wrapped in the SVG") {
  const TraceStep step{"", TraceTokens(40, "word")};
  const std::string narrow = haze::trace_svg({.steps = {step}}, "x", 50);
  const std::string wide = haze::trace_svg({.steps = {step}}, "x", 400);
  CHECK(narrow.find("viewBox=\"0 0 459 ") !=
        std::string::npos);  // 10 words: 49 columns of 8.4 and two margins of 24
  CHECK(wide.find("viewBox=\"0 0 1719 ") != std::string::npos);  // 40 words: 199 columns
}

TEST_CASE("XML's own characters are escaped and forbidden ones left out") {
  CHECK(haze::escape_xml("a<b>&\"c\"\x01\n한") == "a&lt;b&gt;&amp;&quot;c&quot;한");
}

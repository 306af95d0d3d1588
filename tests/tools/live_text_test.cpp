#include "haze/tools/run/live_text.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

using namespace haze;

namespace {

struct Screen {
  std::vector<std::string> frames;
  int waits = 0;

  LiveText text(int columns = 80) {
    return LiveText({.interactive = true,
                     .unicode = false,
                     .write = [this](std::string_view frame) { frames.emplace_back(frame); },
                     .now = [] { return 0.0; },
                     .width = [columns] { return columns; }},
                    TraceStyle{}, [this] { ++waits; });
  }
};

Trace two_words() {
  return {.steps = {{"t = 1.00", {std::nullopt, std::nullopt}}}, .fixed = {false, true}};
}

}  // namespace

TEST_CASE("a live text is redrawn in its place at each step, waits after it, and is taken away at the end") {
  Screen screen;
  {
    LiveText live = screen.text();
    Trace trace = two_words();
    trace.steps.front().tokens[1] = "pub";
    live.show(trace);
    live.show(trace);  // nothing new
    CHECK(screen.frames == std::vector<std::string>{"\r\x1b[Jt = 1.00  ____ <pub>"});
    trace.steps.push_back({"t = 0.00", {"The", "pub"}});
    live.show(trace);
    CHECK(screen.frames.back() == "\r\x1b[Jt = 0.00  [The] <pub>");
    CHECK(screen.waits == 2);
  }
  CHECK(screen.frames.back() == "\r\x1b[J");
  CHECK(screen.frames.size() == 3);
}

TEST_CASE("a live text that takes several rows is redrawn from the first of them") {
  Screen screen;
  LiveText live = screen.text(10);
  Trace trace{.steps = {{"", {"aaaaaaaaa", "bbbbbbbbb", "c"}}}, .fixed = {}};
  live.show(trace);  // "[aaaaaaaaa bbbbbbbbb c]": 23 columns, three rows
  trace.steps.push_back({"", {"aaaaaaaaa"}});
  live.show(trace);
  CHECK(screen.frames.back().starts_with("\x1b[2A\r\x1b[J"));
}

TEST_CASE("a live text that was never drawn leaves the terminal as it was") {
  Screen screen;
  { LiveText live = screen.text(); }
  CHECK(screen.frames.empty());
}

TEST_CASE("colours take no columns") {
  CHECK(visible_width("\x1b[1;32mThe\x1b[0m pub") == 7);
  CHECK(visible_width("") == 0);
  CHECK(visible_width("\x1b[2m") == 0);
  CHECK(visible_width("a\x1b[") == 1);
}

#include "haze/tools/run/progress.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/tools/run/terminal.h"

using haze::ProgressBar;

namespace {

/// A clock and a screen in the hands of a test.
struct Screen {
  double seconds = 100.0;
  int columns = 100;
  std::vector<std::string> writes;

  haze::ProgressOutput output(bool interactive, bool unicode = true) {
    return {.interactive = interactive,
            .unicode = unicode,
            .write = [this](std::string_view text) { writes.emplace_back(text); },
            .now = [this] { return seconds; },
            .width = [this] { return columns; }};
  }
};

/// What stands on the line after a redraw.
std::string visible(const std::string& redraw) {
  REQUIRE(redraw.rfind("\r", 0) == 0);
  REQUIRE(redraw.size() >= 4);
  REQUIRE(redraw.substr(redraw.size() - 3) == "\x1b[K");
  return redraw.substr(1, redraw.size() - 4);
}

}  // namespace

TEST_CASE("the bar shows percent, steps, loss, rates and the time left") {
  Screen screen;
  ProgressBar bar("train", 2000, 0, screen.output(true));
  for (int step = 1; step <= 500; ++step) {
    screen.seconds += 0.25;
    bar.update(step, 1000, 2.5);
  }
  CHECK(visible(screen.writes.back()) ==
        "train  25% ━━━━─────────────  500/2000  loss 2.5000   4.00 steps/s  4.00k tokens/s  6 "
        "min 15 s left");
}

TEST_CASE("the bar never takes more columns than the terminal has, and keeps the time left longest") {
  Screen screen;
  ProgressBar bar("train", 1000, 0, screen.output(true));
  for (const int columns : {200, 100, 80, 60, 40, 20, 5, 1}) {
    CAPTURE(columns);
    screen.columns = columns;
    screen.seconds += 1.0;
    bar.update(300, 1000, 1.25);
    const std::string line = visible(screen.writes.back());
    CHECK(haze::display_width(line) < columns);
    if (columns >= 40) CHECK(line.find(" left") != std::string::npos);
    if (columns >= 60) CHECK(line.find("loss 1.2500") != std::string::npos);
  }
}

TEST_CASE("the bar is redrawn at most ten times a second, each time in one write") {
  Screen screen;
  ProgressBar bar("train", 1000, 0, screen.output(true));
  for (int step = 1; step <= 1000; ++step) {
    screen.seconds += 0.001;
    bar.update(step);
  }
  CHECK(screen.writes.size() <= 11);
  CHECK(screen.writes.size() >= 9);
}

TEST_CASE("the finished bar stays on a line of its own, once") {
  Screen screen;
  {
    ProgressBar bar("train", 10, 0, screen.output(true, false));
    screen.seconds += 2;
    bar.update(9);
    bar.update(10);
    bar.finish();
    bar.finish();
    bar.update(10);
  }
  REQUIRE(screen.writes.size() == 4);
  CHECK(visible(screen.writes[2]) ==
        "train 100% [########################################] 10/10   5.00 steps/s  in 2 s");
  CHECK(screen.writes[3] == "\n");
}

TEST_CASE("a line printed above the bar leaves the bar below it") {
  Screen screen;
  ProgressBar bar("train", 10, 0, screen.output(true));
  bar.print_line("step 5: bound 2.0");
  CHECK(screen.writes.back().rfind("\r\x1b[Kstep 5: bound 2.0\ntrain ", 0) == 0);
}

TEST_CASE("where there is no terminal, lines are logged at most every five seconds and at the end") {
  Screen screen;
  {
    ProgressBar bar("train", 1000, 0, screen.output(false));
    for (int step = 1; step <= 1000; ++step) {
      screen.seconds += 0.0123;
      bar.update(step, 10, 3.0);
    }
  }
  REQUIRE(screen.writes.size() == 3);
  CHECK(screen.writes[0] ==
        "train: step 407 of 1000 (40%), loss 3.0000, 81.3 steps/s, 813 tokens/s, 7 s left\n");
  CHECK(screen.writes[1] ==
        "train: step 814 of 1000 (81%), loss 3.0000, 81.3 steps/s, 813 tokens/s, 2 s left\n");
  CHECK(screen.writes[2] ==
        "train: step 1000 of 1000 (100%), loss 3.0000, 81.3 steps/s, 813 tokens/s, in 12 s\n");
}

TEST_CASE("the rate is that of the last seconds and of a resumed run's own steps") {
  Screen screen;
  ProgressBar bar("train", 10000, 5000, screen.output(true));
  for (int step = 5001; step <= 5100; ++step) {
    screen.seconds += 1.0;
    bar.update(step);
  }
  CHECK(screen.writes.back().find("1.00 steps/s") != std::string::npos);
  for (int step = 5101; step <= 5500; ++step) {
    screen.seconds += 0.1;
    bar.update(step);
  }
  CHECK(screen.writes.back().find("10.0 steps/s") != std::string::npos);
}

TEST_CASE("durations and counts are short and right at their borders") {
  CHECK(haze::format_duration(-3) == "0 s");
  CHECK(haze::format_duration(59.4) == "59 s");
  CHECK(haze::format_duration(59.6) == "1 min 00 s");
  CHECK(haze::format_duration(3599.6) == "1 h 00 min");
  CHECK(haze::format_duration(7623) == "2 h 07 min");
  CHECK(haze::format_count(0.25) == "0.25");
  CHECK(haze::format_count(9.996) == "10.0");
  CHECK(haze::format_count(99.96) == "100");
  CHECK(haze::format_count(999.4) == "999");
  CHECK(haze::format_count(999.6) == "1.00k");
  CHECK(haze::format_count(21400) == "21.4k");
  CHECK(haze::format_count(999700) == "1.00M");
  CHECK(haze::format_count(3.2e6) == "3.20M");
}

TEST_CASE("width on a terminal counts Korean as two columns, accents as none and broken bytes as one") {
  CHECK(haze::display_width("abc") == 3);
  CHECK(haze::display_width("한국어") == 6);
  CHECK(haze::display_width("e\xCC\x81") == 1);
  CHECK(haze::display_width("░") == 1);
  CHECK(haze::display_width("\xFF\xED") == 2);
  CHECK(haze::cut_to_width("한국어", 5) == "한국");
  CHECK(haze::cut_to_width("abc", 0).empty());
  CHECK(haze::without_control_characters("a\x1b[2J\n\x7f한") == "a␛[2J␊␡한");
}

TEST_CASE("a bar that is removed leaves an empty line on a terminal, and lines of a log as they are") {
  Screen screen;
  ProgressBar bar("train", 10, 0, screen.output(true));
  bar.remove();
  CHECK(screen.writes.back() == "\r\x1b[K");
  const size_t writes = screen.writes.size();
  bar.update(10);
  bar.finish();
  bar.remove();
  CHECK(screen.writes.size() == writes);

  Screen log;
  {
    ProgressBar logged("train", 10, 0, log.output(false));
    logged.update(3);
    logged.remove();
  }
  CHECK(log.writes.empty());
}

TEST_CASE("whole numbers have a comma before every three digits") {
  CHECK(haze::format_whole(0) == "0");
  CHECK(haze::format_whole(999) == "999");
  CHECK(haze::format_whole(1000) == "1,000");
  CHECK(haze::format_whole(1003854) == "1,003,854");
  CHECK(haze::format_whole(-100) == "-100");
  CHECK(haze::format_whole(-123456) == "-123,456");
}

#include "haze/tools/run/work_observer.h"

#include <csignal>
#include <string>

#include <doctest/doctest.h>

using haze::InterruptGuard;
using haze::WorkObserver;

namespace {

/// A terminal that keeps all that is written on it; each look at the clock takes a second.
struct Terminal {
  std::string written;
  double seconds = 0;

  haze::ProgressOutput output() {
    return {.interactive = true,
            .unicode = false,
            .write = [this](std::string_view text) { written += text; },
            .now = [this] { return seconds += 1; },
            .width = [] { return 80; }};
  }
};

}  // namespace

TEST_CASE("work shows how far it is, and its bar is gone when it is done") {
  Terminal terminal;
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt, terminal.output());
  CHECK(terminal.written.empty());
  work.update(0, 4);
  CHECK(terminal.written.find("sampling   0%") != std::string::npos);
  work.update(1, 4);
  CHECK(terminal.written.find("sampling  25%") != std::string::npos);
  work.update(4, 4);
  CHECK(terminal.written.ends_with("\r\x1b[K"));
  CHECK(terminal.written.find('\n') == std::string::npos);
}

TEST_CASE("work is broken off at Ctrl-C") {
  Terminal terminal;
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt, terminal.output());
  work.update(1, 4);
  std::raise(SIGINT);
  CHECK_THROWS_WITH_AS(work.update(2, 4), "stopped by Ctrl-C", haze::Interrupted);
}

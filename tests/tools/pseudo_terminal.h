#pragma once

#include <string>
#include <vector>

#include <pty.h>

#include "program.h"

namespace haze::testing {

/// What a command showed on a terminal, and its exit status.
struct TerminalResult {
  std::string shown;
  int status = 0;
};

/// Which of a command's streams are a terminal; the other goes to a file.
enum class TerminalStreams { output, error, both };

/// Runs haze to its end, with a terminal for some of its streams.
inline TerminalResult run_on_terminal(const std::vector<std::string>& arguments, TerminalStreams streams) {
  int master = -1, slave = -1;
  REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
  RunningProgram program(arguments, streams == TerminalStreams::error ? -1 : slave,
                         streams == TerminalStreams::output ? -1 : slave);
  close(slave);
  TerminalResult result;
  char buffer[4096];
  for (ssize_t count; (count = read(master, buffer, sizeof buffer)) > 0;)
    result.shown.append(buffer, static_cast<size_t>(count));
  close(master);
  result.status = program.wait();
  return result;
}

}  // namespace haze::testing

#pragma once

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary_folder.h"

namespace haze::testing {

/// The haze program running, with its output in files.
class RunningProgram {
 public:
  /// `standard_output` and `standard_error` stand for its own where they are file descriptors (not -1);
  /// `file` is another program to run.
  explicit RunningProgram(const std::vector<std::string>& arguments, int standard_output = -1,
                          int standard_error = -1, const std::string& file = HAZE_PROGRAM) {
    std::vector<std::string> all = {file};
    all.insert(all.end(), arguments.begin(), arguments.end());
    std::vector<char*> pointers;
    for (std::string& argument : all) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const std::string output = (folder_ / "out").string(), error = (folder_ / "err").string();
    process_ = fork();
    REQUIRE(process_ >= 0);
    if (process_ == 0) {
      // Several programs run next to each other and next to the tests: one thread each, and one order of
      // sums.
      setenv("OMP_NUM_THREADS", "1", 1);
      setenv("HAZE", HAZE_PROGRAM, 1);
      dup2(standard_output >= 0 ? standard_output : open(output.c_str(), O_WRONLY | O_CREAT, 0600), 1);
      dup2(standard_error >= 0 ? standard_error : open(error.c_str(), O_WRONLY | O_CREAT, 0600), 2);
      execv(pointers[0], pointers.data());
      _exit(127);
    }
  }
  ~RunningProgram() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      wait();
    }
  }
  RunningProgram(const RunningProgram&) = delete;
  RunningProgram& operator=(const RunningProgram&) = delete;

  void send(int signal) const { kill(process_, signal); }
  bool has_ended() const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }
  /// Returns when a condition holds or the program has ended, whichever comes first.
  template <typename Condition>
  void wait_until(Condition condition) const {
    while (!condition() && !has_ended()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  /// The exit status, or minus the number of the signal that ended it.
  int wait() {
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }
  std::string output() const { return read_text(folder_ / "out"); }
  std::string error() const { return read_text(folder_ / "err"); }

 private:
  TemporaryFolder folder_;
  pid_t process_ = -1;
};

struct ProgramResult {
  int status;
  std::string output, error;
};

inline ProgramResult run_program(const std::vector<std::string>& arguments) {
  RunningProgram program(arguments);
  const int status = program.wait();
  return {status, program.output(), program.error()};
}

/// A script of bash, in which "$HAZE" is the haze program. Its status is that of a pipe's last command that
/// failed.
inline ProgramResult run_script(const std::string& script) {
  RunningProgram program({"-c", "set -o pipefail\n" + script}, -1, -1, "/bin/bash");
  const int status = program.wait();
  return {status, program.output(), program.error()};
}

/// Words as one line of a script.
inline std::string in_script(const std::vector<std::string>& words) {
  std::string line;
  for (const std::string& word : words) line += "'" + word + "' ";
  return line;
}

/// Arguments of `haze train`: the folder, one thread and settings.
inline std::vector<std::string> train_arguments(const std::filesystem::path& run_folder,
                                                const std::vector<std::string>& assignments) {
  std::vector<std::string> arguments = {"train", "--threads", "1", "--out", run_folder.string()};
  for (const std::string& assignment : assignments) {
    arguments.push_back("--set");
    arguments.push_back(assignment);
  }
  return arguments;
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

inline std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

/// Checks that a command ends with `status`, writes nothing on standard output, and on standard error one
/// sentence with `part` in it.
inline void check_failure(const std::vector<std::string>& arguments, int status, const std::string& part) {
  std::string command = "haze";
  for (const std::string& argument : arguments) command += " " + argument;
  CAPTURE(command);
  const ProgramResult result = run_program(arguments);
  CAPTURE(result.error);
  CHECK(result.status == status);
  CHECK(result.output.empty());
  CHECK(result.error.starts_with(status == 2 ? "haze" : "haze: "));
  CHECK(lines_of(result.error).size() == 1);
  CHECK(result.error.find(part) != std::string::npos);
}

}  // namespace haze::testing

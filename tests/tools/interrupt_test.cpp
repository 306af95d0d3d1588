#include "haze/tools/run/interrupt.h"

#include <chrono>
#include <csignal>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "haze/engine/error.h"

using haze::InterruptGuard;

namespace {

/// The wait status of a child process that runs an action and then exits with status 7.
template <typename Action>
int status_of_child(Action action) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    action();
    _exit(7);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

/// The first result of an action that takes less than the half second that this file is about: a machine with
/// much to do may pause it for longer, and then it shows nothing.
template <typename Action>
auto without_pause(Action action) {
  for (;;) {
    const auto start = std::chrono::steady_clock::now();
    auto result = action();
    if (std::chrono::steady_clock::now() - start < std::chrono::milliseconds(500)) return result;
  }
}

/// What a child process that runs an action writes to standard error.
template <typename Action>
std::string notice_of_child(Action action) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const int status = status_of_child([&] {
    dup2(ends[1], STDERR_FILENO);
    action();
  });
  close(ends[1]);
  char buffer[64];
  const ssize_t bytes = read(ends[0], buffer, sizeof buffer);
  close(ends[0]);
  REQUIRE(bytes >= 0);
  return std::string(buffer, static_cast<size_t>(bytes)) + (WEXITSTATUS(status) == 7 ? "" : " and failed");
}

}  // namespace

TEST_CASE("the first Ctrl-C is a request and the process goes on") {
  const InterruptGuard guard;
  CHECK_FALSE(guard.requested());
  std::raise(SIGINT);
  CHECK(guard.requested());
}

TEST_CASE("a second Ctrl-C ends the process at once, with the first signal's status") {
  for (const int signal : {SIGINT, SIGTERM}) {
    const int status = status_of_child([&] {
      const InterruptGuard guard;
      std::raise(signal);
      usleep(600'000);
      std::raise(SIGINT);
    });
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 128 + signal);
  }
}

TEST_CASE("a second signal within half a second is the same press of the keys") {
  const int status = without_pause([] {
    return status_of_child([] {
      const InterruptGuard guard;
      for (const int signal : {SIGINT, SIGINT, SIGTERM}) std::raise(signal);
      if (guard.signal() != SIGINT) _exit(1);
    });
  });
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("SIGTERM and a closed terminal are requests too; a process that nohup started ignores the latter") {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const int child = status_of_child([&] {
      std::signal(signal, SIG_DFL);
      const InterruptGuard guard;
      std::raise(signal);
      if (guard.signal() != signal) _exit(1);
    });
    REQUIRE(WIFEXITED(child));
    CHECK(WEXITSTATUS(child) == 7);
  }
  const int status = status_of_child([] {
    std::signal(SIGHUP, SIG_IGN);
    const InterruptGuard guard;
    std::raise(SIGHUP);
    if (guard.requested()) _exit(1);
  });
  CHECK(WEXITSTATUS(status) == 7);
}

TEST_CASE("the notice is on standard error once, as soon as the first signal comes") {
  const std::string notice = without_pause([] {
    return notice_of_child([] {
      const InterruptGuard guard("heard");
      std::raise(SIGINT);
      std::raise(SIGINT);
    });
  });
  CHECK(notice == "heard");
}

TEST_CASE("after the guard Ctrl-C does what it did before, and a new guard knows nothing of old requests") {
  const int same_press = without_pause([] {
    return status_of_child([] {
      {
        const InterruptGuard guard;
        std::raise(SIGINT);
      }
      // On the heels of the first it is still part of the same press.
      std::raise(SIGINT);
      if (InterruptGuard().requested()) _exit(1);
    });
  });
  REQUIRE(WIFEXITED(same_press));
  CHECK(WEXITSTATUS(same_press) == 7);
  const int status = status_of_child([] {
    std::signal(SIGINT, SIG_DFL);
    { const InterruptGuard guard; }
    std::raise(SIGINT);
  });
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGINT);
}

TEST_CASE("two guards at a time are refused") {
  const InterruptGuard guard;
  CHECK_THROWS_AS(InterruptGuard(), haze::Error);
  std::raise(SIGINT);
  CHECK(guard.requested());
}

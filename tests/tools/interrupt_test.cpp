#include "haze/tools/run/interrupt.h"

#include <csignal>

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

}  // namespace

TEST_CASE("the first Ctrl-C is a request and the process goes on") {
  const InterruptGuard guard;
  CHECK_FALSE(guard.requested());
  std::raise(SIGINT);
  CHECK(guard.requested());
}

TEST_CASE("a second Ctrl-C ends the process at once with status 130") {
  const int status = status_of_child([] {
    const InterruptGuard guard;
    std::raise(SIGINT);
    std::raise(SIGINT);
  });
  REQUIRE(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 130);
}

TEST_CASE("after the guard Ctrl-C does what it did before, and a new guard knows nothing of old requests") {
  {
    const InterruptGuard guard;
    std::raise(SIGINT);
  }
  CHECK_FALSE(InterruptGuard().requested());
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

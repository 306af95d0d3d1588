#include "haze/tools/run/interrupt.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <unistd.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

// A signal handler reaches nothing but globals, and of those only what is free of locks.
std::atomic<bool> interrupt_requested = false;
std::atomic<bool> guard_lives = false;
static_assert(std::atomic<bool>::is_always_lock_free);
struct sigaction action_before;

void handle_interrupt(int) {
  if (interrupt_requested.exchange(true)) _exit(InterruptGuard::kInterruptedStatus);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (guard_lives.exchange(true))
    fail("Ctrl-C is being watched already: only one InterruptGuard can live at a time");
  interrupt_requested = false;
  struct sigaction action {};
  action.sa_handler = handle_interrupt;
  sigemptyset(&action.sa_mask);
  // Reads and writes that the signal falls into go on by themselves.
  action.sa_flags = SA_RESTART;
  if (sigaction(SIGINT, &action, &action_before) != 0) {
    guard_lives = false;
    fail("cannot watch for Ctrl-C: {}", std::strerror(errno));
  }
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &action_before, nullptr);
  guard_lives = false;
}

bool InterruptGuard::requested() const {
  return interrupt_requested;
}

}  // namespace haze

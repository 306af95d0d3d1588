#include "haze/tools/run/interrupt.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <unistd.h>

namespace haze {
namespace {

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP};
constexpr int64_t kSamePressNanoseconds = 500'000'000;

// A signal handler reaches nothing but globals, and of those only what is free of locks.
std::atomic<int> first_signal = 0;
std::atomic<int64_t> first_moment = 0;  // 0: none yet
std::atomic<const char*> notice_text = "";
std::atomic<bool> guard_lives = false;
static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<const char*>::is_always_lock_free);
std::array<struct sigaction, kSignals.size()> actions_before;

int64_t nanoseconds_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void handle_signal(int signal) {
  const int saved_errno = errno;
  const int64_t now = nanoseconds_now();
  int64_t first = 0;
  if (first_moment.compare_exchange_strong(first, now)) {
    first_signal = signal;
    const char* notice = notice_text;
    // There is nobody to tell where it cannot be written.
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, notice, std::strlen(notice));
  } else if (now - first > kSamePressNanoseconds) {
    _exit(interrupted_status(first_signal));
  }
  errno = saved_errno;
}

/// Has the handler take a signal; `before` gets what had it, unless that is the handler of an earlier guard.
void take_signal(int signal, struct sigaction& before) {
  struct sigaction current {};
  sigaction(signal, nullptr, &current);
  if (current.sa_handler != handle_signal) before = current;
  if (signal == SIGHUP && current.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = handle_signal;
  sigemptyset(&action.sa_mask);
  // Reads and writes that the signal falls into go on by themselves.
  action.sa_flags = SA_RESTART;
  sigaction(signal, &action, nullptr);
}

const char* describe(int signal) {
  if (signal == SIGTERM) return "stopped by SIGTERM";
  if (signal == SIGHUP) return "stopped because the terminal was closed";
  return "stopped by Ctrl-C";
}

}  // namespace

Interrupted::Interrupted(int signal) : Error(describe(signal)), signal_(signal) {}

InterruptGuard::InterruptGuard(const char* notice) {
  if (guard_lives.exchange(true))
    fail("Ctrl-C is being watched already: only one InterruptGuard can live at a time");
  first_signal = 0;
  first_moment = 0;
  notice_text = notice;
  for (size_t i = 0; i < kSignals.size(); ++i) take_signal(kSignals[i], actions_before[i]);
}

InterruptGuard::~InterruptGuard() {
  guard_lives = false;
  if (requested()) return;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_before[i], nullptr);
}

int InterruptGuard::signal() const {
  return first_signal;
}

}  // namespace haze

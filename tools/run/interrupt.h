#pragma once

#include <csignal>

#include "haze/engine/error.h"

namespace haze {

/// The exit status of a process that a signal ended, as shells count it: 130 for Ctrl-C.
constexpr int interrupted_status(int signal) {
  return 128 + signal;
}

/// Thrown to break work off at Ctrl-C.
class Interrupted : public Error {
 public:
  /// `signal` is the one that asked for it.
  explicit Interrupted(int signal);

  int signal() const { return signal_; }

 private:
  int signal_;
};

/// While it lives, Ctrl-C (SIGINT), SIGTERM and SIGHUP are requests that a loop looks at. A second one ends
/// the process at once, unless it comes within half a second: a terminal and a program around this one may
/// both pass on one press of the keys. A process that was started to ignore SIGHUP, by nohup, goes on doing
/// so.
///
/// A loop asks requested() after every step, and where it is true saves its work and exits with
/// interrupted_status(signal()).
class InterruptGuard {
 public:
  /// Takes the signals over. `notice` is written to standard error at the first one, so that people know that
  /// it was heard; it must outlive the guard. Throws where another guard lives.
  explicit InterruptGuard(const char* notice = "");
  /// Gives the signals back to what had them before, unless one came: what then comes on its heels must not
  /// end the process while it reports, but one that comes half a second later does.
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether a signal came since the guard was made.
  bool requested() const { return signal() != 0; }
  /// The first that came; 0: none.
  int signal() const;
};

}  // namespace haze

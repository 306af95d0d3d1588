#pragma once

#include "haze/engine/error.h"

namespace haze {

/// Thrown to break work off at Ctrl-C.
class Interrupted : public Error {
 public:
  Interrupted() : Error("stopped by Ctrl-C") {}
};

/// While it lives, the first Ctrl-C (SIGINT) is a request that a loop looks at and a second one ends the
/// process at once.
///
/// A loop asks requested() after every step, and when it is true saves its work and exits with
/// kInterruptedStatus.
class InterruptGuard {
 public:
  /// The exit status of a process that Ctrl-C ended, as shells count it: 128 and the signal's number.
  static constexpr int kInterruptedStatus = 130;

  /// Takes SIGINT over. Throws where another guard lives or the system refuses.
  InterruptGuard();
  /// Gives SIGINT back to what had it before.
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether Ctrl-C was pressed since the guard was made.
  bool requested() const;
};

}  // namespace haze

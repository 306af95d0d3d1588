#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "haze/engine/backend.h"

namespace haze {

/// One call of a kernel. Times are in seconds since the profile was made.
struct ProfileCall {
  std::string operation;  // what is done, such as "matmul a b^T +bias +gelu"
  Shape extents;          // m, n and k of a product; empty where the name says enough
  const char* phase;      // the ProfilePhase it fell in, or ""
  int64_t step;           // from 0
  double start, seconds;
  double flops;  // of a product: those it must do, a multiply-add counts as two; 0 where memory is the limit
  double bytes;  // of the operands that it must read and write, each once
};

/// A stretch of time: a step, or a phase of one.
struct ProfileSpan {
  std::string name;
  int64_t step;
  double start, seconds;
};

/// What was recorded, in the order in which it ended.
struct Profile {
  std::chrono::steady_clock::time_point origin = std::chrono::steady_clock::now();
  std::vector<ProfileCall> calls;
  std::vector<ProfileSpan> phases, steps;

  double now() const;
};

/// While it lives, every kernel that this thread calls is recorded in `profile`, and the time as one step of
/// it. A scope inside another takes over from it. Without one nothing is recorded and nothing costs anything.
class ProfileScope {
 public:
  explicit ProfileScope(Profile& profile);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  /// That of this thread; null where nothing is recorded.
  static ProfileScope* current();

  Backend& backend() { return *backend_; }
  Profile& profile() { return profile_; }
  /// The name of the phase that it is in, or "".
  const char* phase() const { return phase_; }

 private:
  friend class ProfilePhase;

  Profile& profile_;
  std::unique_ptr<Backend> backend_;
  ProfileScope* before_;
  double start_;
  const char* phase_ = "";
};

/// While it lives, nothing is recorded: what a kernel calls is part of the kernel.
class ProfilePause {
 public:
  ProfilePause();
  ~ProfilePause();
  ProfilePause(const ProfilePause&) = delete;
  ProfilePause& operator=(const ProfilePause&) = delete;

 private:
  ProfileScope* paused_;
};

/// A part of a step, such as "backward", from here to next() or to its end. Where nothing is recorded it does
/// nothing. Phases follow one another; the names are literals.
class ProfilePhase {
 public:
  explicit ProfilePhase(const char* name);
  ~ProfilePhase();
  ProfilePhase(const ProfilePhase&) = delete;
  ProfilePhase& operator=(const ProfilePhase&) = delete;

  void next(const char* name);

 private:
  void begin(const char* name);
  void end();

  ProfileScope* scope_;
  double start_ = 0;
};

}  // namespace haze

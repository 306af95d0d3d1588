#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "haze/engine/device.h"
#include "haze/engine/shape.h"

namespace haze {

/// Describes a call of a kernel and its work.
struct CallDescription {
  std::string operation;  // such as "matmul a b^T +bias +gelu"
  Shape extents = {};     // m, n and k of a product; empty where the name says enough
  double flops = 0;  // floating-point operations; a multiply-add counts as two; 0 where memory is the limit
  double bytes = 0;  // of the operands that it must read and write
  bool bfloat16 = false;  // whether its products are of bfloat16, or of float32 rounded to it
};

/// One call of a kernel. Times are in seconds since the profile was made.
struct ProfileCall : CallDescription {
  const char* phase = "";  // the ProfilePhase it fell in
  int64_t step = 0;        // from 0
  double start = 0, seconds = 0;
};

/// A span of time: a step, or a phase of one.
struct ProfileSpan {
  std::string name;
  int64_t step;
  double start, seconds;
};

/// The recorded calls and spans, in the order in which they ended.
struct Profile {
  std::chrono::steady_clock::time_point origin = std::chrono::steady_clock::now();
  std::vector<ProfileCall> calls;
  std::vector<ProfileSpan> phases, steps;

  double now() const;
};

class ProfileScope;

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

/// Whether kernels run that are recorded. If they do not, results are allocated and their contents are
/// undefined. The cost of the calls becomes known without the work. Callers must not look at results then.
enum class Kernels : uint8_t { run, skipped };

/// While it lives, every kernel that this thread calls is recorded in `profile`, and the time as one step of
/// it. A scope inside another takes over from it. Without one nothing is recorded and nothing costs anything.
class ProfileScope {
 public:
  explicit ProfileScope(Profile& profile, Kernels kernels = Kernels::run);
  ~ProfileScope();
  ProfileScope(const ProfileScope&) = delete;
  ProfileScope& operator=(const ProfileScope&) = delete;

  /// That of this thread; null where nothing is recorded.
  static ProfileScope* current();

  /// Runs `kernel` and records it. Calls inside the kernel are part of it, and not recorded. The time is that
  /// of the device at work, for which the host waits: a GPU's kernels are still to run when their launch
  /// returns.
  template <typename Kernel>
  void record(CallDescription description, Device device, Kernel&& kernel) {
    const ProfilePause pause;
    if (kernels_ == Kernels::run) wait_for(device);
    const double start = profile_.now();
    if (kernels_ == Kernels::run) {
      kernel();
      wait_for(device);
    }
    const double seconds = profile_.now() - start;
    profile_.calls.push_back(
        {std::move(description), phase_, static_cast<int64_t>(profile_.steps.size()), start, seconds});
  }

 private:
  friend class ProfilePhase;

  static void wait_for(Device device);

  Profile& profile_;
  const Kernels kernels_;
  ProfileScope* before_;
  double start_;
  const char* phase_ = "";
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

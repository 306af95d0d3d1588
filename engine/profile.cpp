#include "haze/engine/profile.h"

#include <utility>

#include "haze/engine/graph_capture.h"

namespace haze {
namespace {

thread_local ProfileScope* current_scope = nullptr;

}  // namespace

double Profile::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - origin).count();
}

ProfileScope::ProfileScope(Profile& profile, Kernels kernels)
    : profile_(profile),
      kernels_(kernels),
      before_(std::exchange(current_scope, this)),
      start_(profile.now()) {}

ProfileScope::~ProfileScope() {
  const auto step = static_cast<int64_t>(profile_.steps.size());
  profile_.steps.push_back({fmt::format("step {}", step + 1), step, start_, profile_.now() - start_});
  current_scope = before_;
}

void ProfileScope::wait_for(Device device) {
  const bool runs_late = device != Device::cpu;
  if (runs_late) synchronize(device);
}

ProfileScope* ProfileScope::current() {
  // A captured kernel does not run now, and its replays are calls of their own.
  return GraphCapture::current() ? nullptr : current_scope;
}

ProfilePause::ProfilePause() : paused_(std::exchange(current_scope, nullptr)) {}

ProfilePause::~ProfilePause() {
  current_scope = paused_;
}

ProfilePhase::ProfilePhase(const char* name) : scope_(current_scope) {
  begin(name);
}

ProfilePhase::~ProfilePhase() {
  end();
}

void ProfilePhase::next(const char* name) {
  end();
  begin(name);
}

void ProfilePhase::begin(const char* name) {
  if (!scope_) return;
  scope_->phase_ = name;
  start_ = scope_->profile_.now();
}

void ProfilePhase::end() {
  if (!scope_) return;
  Profile& profile = scope_->profile_;
  profile.phases.push_back(
      {scope_->phase_, static_cast<int64_t>(profile.steps.size()), start_, profile.now() - start_});
  scope_->phase_ = "";
}

}  // namespace haze

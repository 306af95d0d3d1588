#pragma once

#include <functional>
#include <vector>

#include "haze/engine/device.h"
#include "haze/engine/simt/launch.h"

namespace haze::simt {

/// The contents of a graph of the emulated device: launches with copies of their arguments, and the work of
/// libraries in between.
class Recording final : public RecordedWork {
 public:
  void add(const Kernel& kernel, const LaunchShape& shape);
  void add(std::function<void()> work) { steps_.push_back(std::move(work)); }

  void run() override;
  int64_t size() const override { return std::ssize(steps_); }

 private:
  std::vector<std::function<void()>> steps_;
};

/// From here to end_recording(), launches are kept and do not run.
void begin_recording();
std::unique_ptr<Recording> end_recording();

}  // namespace haze::simt

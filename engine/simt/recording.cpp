#include "haze/engine/simt/recording.h"

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

namespace haze::simt {
namespace {

std::unique_ptr<Recording> current;

}  // namespace

Recording* recording() {
  return current.get();
}

void begin_recording() {
  current = std::make_unique<Recording>();
}

std::unique_ptr<Recording> end_recording() {
  return std::move(current);
}

void Recording::add(const Kernel& kernel, const LaunchShape& shape) {
  const std::shared_ptr<std::max_align_t[]> arguments(
      new std::max_align_t[kernel.argument_bytes / sizeof(std::max_align_t) + 1]);
  std::memcpy(arguments.get(), kernel.arguments, kernel.argument_bytes);
  steps_.push_back([kernel, shape, arguments] {
    Kernel with_copy = kernel;
    with_copy.arguments = arguments.get();
    simt::run(with_copy, shape);
  });
}

void Recording::run() {
  for (const auto& step : steps_) step();
}

void run_in_order(std::function<void()> work) {
  if (Recording* const kept = recording()) {
    kept->add(std::move(work));
  } else {
    work();
  }
}

}  // namespace haze::simt

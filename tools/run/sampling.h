#pragma once

#include "haze/tools/tasks/task.h"

namespace haze {

/// Samples of a model, as [sample] of the settings says. Sample i depends on request.seed and i alone. Throws
/// Error where the model cannot sample, or not what is asked for.
Samples draw_samples(const Model& model, const Task& task, const Settings& settings,
                     const SampleRequest& request, const SampleObserver& observer = {});

/// The same for requests that have been made already.
Samples draw_samples(const Model& model, const Task& task, const Settings& settings,
                     std::span<const Request> requests, uint64_t seed, const SampleObserver& observer = {});

/// The sampler of a model. Throws Error where it has none.
const Sampler& sampler_of(const Model& model, const Settings& settings);

/// Keeps how one example of several appears, step by step.
class TraceKeeper {
 public:
  TraceKeeper(const Task& task, const Request& request, size_t index = 0)
      : task_(task), index_(index), trace_(task.new_trace(request)) {}

  /// To be told of every step; a step in which nothing changes is left out.
  void observe(const Snapshot& snapshot);
  const Trace& trace() const { return trace_; }

 private:
  const Task& task_;
  size_t index_;
  Trace trace_;
};

}  // namespace haze

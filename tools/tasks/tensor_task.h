#pragma once

#include "haze/tools/tasks/task.h"

namespace haze {

/// Points of the plane, drawn by draw_points(): the three parts from three streams of the run's seed.
class TensorTask : public Task {
 public:
  /// `model` is its name, for messages.
  explicit TensorTask(std::string model) : model_(std::move(model)) {}

  DataFacts facts() const override;
  std::string unit() const override { return "number"; }
  std::string example() const override { return "point"; }
  std::unique_ptr<Examples> examples(const Settings& settings, Part part) const override;
  std::unique_ptr<Examples> examples_of(const Settings& settings,
                                        const std::filesystem::path& file) const override;
  std::string origin(const Settings& settings, Part part) const override;
  std::string fingerprint(const Settings& settings, Part part) const override;
  std::vector<Request> requests(const Settings& settings, const Uses& uses,
                                const SampleRequest& request) const override;
  std::vector<int32_t> forbidden_tokens(const Settings&, const Uses&) const override { return {}; }
  std::string written(const Samples& samples, int64_t index) const override;
  std::string json(const Samples& samples, int64_t index) const override;
  Trace new_trace(const Request& request) const override;
  TraceStep trace_step(const Snapshot& snapshot, size_t index) const override;
  int64_t default_samples() const override { return 2000; }
  void measure(const TaskEvaluation& evaluation, Report& report) const override;

 private:
  std::string model_;
};

}  // namespace haze

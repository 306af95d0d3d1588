#pragma once

#include "haze/tools/tasks/task.h"

namespace haze {

/// Points of the plane or images, with labels where the set has them; tensor_data.h says which sets.
class TensorTask : public Task {
 public:
  /// `model` is its name, for messages; `facts` are those of the data.
  explicit TensorTask(std::string model, DataFacts facts = {.value_shape = {2}})
      : model_(std::move(model)), facts_(std::move(facts)) {}

  static std::unique_ptr<TensorTask> start(const Settings& settings);
  /// That of a run that there is: needs no file of the data.
  static std::unique_ptr<TensorTask> restore(const Settings& settings, const SideFiles& side_files);

  DataFacts facts() const override { return facts_; }
  SideFiles side_files() const override;
  std::string unit() const override { return "number"; }
  std::string example() const override { return is_of_images() ? "image" : "point"; }
  std::unique_ptr<Examples> examples(const Settings& settings, Part part) const override;
  std::unique_ptr<Examples> examples_of(const Settings& settings,
                                        const std::filesystem::path& file) const override;
  DataSummary summary(const Examples& train, const Examples& valid) const override;
  std::string origin(const Settings& settings, Part part) const override;
  std::string fingerprint(const Settings& settings, Part part) const override;
  std::vector<Request> requests(const Settings& settings, const Uses& uses,
                                const SampleRequest& request) const override;
  std::vector<int32_t> forbidden_tokens(const Settings&, const Uses&) const override { return {}; }
  /// A point as its two numbers; an image as rows of characters, the darker the pixel the less ink.
  std::string written(const Samples& samples, int64_t index) const override;
  std::string json(const Samples& samples, int64_t index) const override;
  Picture picture(const Settings& settings, const Samples& samples) const override;
  Trace new_trace(const Request& request) const override;
  TraceStep trace_step(const Snapshot& snapshot, size_t index) const override;
  int64_t default_samples() const override { return is_of_images() ? 200 : 2000; }
  void measure(const TaskEvaluation& evaluation, Report& report) const override;

 private:
  bool is_of_images() const { return facts_.value_shape.size() == 3; }

  std::string model_;
  DataFacts facts_;
};

}  // namespace haze

#pragma once

#include <filesystem>
#include <memory>
#include <span>

#include "haze/tools/tasks/sample_set.h"
#include "haze/tools/tasks/task.h"

namespace haze {

/// A trained classifier in whose features examples are compared.
class Judge {
 public:
  explicit Judge(std::shared_ptr<const Model> model) : model_(std::move(model)) {}
  /// That of the run in `folder`, for examples of shape `value_shape`. Throws Error where its model has no
  /// features, or learned examples of another shape.
  static Judge load(const std::filesystem::path& folder, std::span<const int64_t> value_shape);

  /// Features of `values`, real [n, ...], as rows.
  SampleSet features(const Tensor& values) const;
  /// The share of examples whose likeliest class is their label. `labels` int32 [n].
  double accuracy(const Tensor& values, const Tensor& labels) const;

 private:
  std::shared_ptr<const Model> model_;
};

/// The run that the setting data.judge names; empty where it names none.
std::filesystem::path judge_folder(const Settings& settings);

}  // namespace haze

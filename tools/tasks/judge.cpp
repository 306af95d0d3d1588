#include "haze/tools/tasks/judge.h"

#include <algorithm>

#include <fmt/format.h>

#include "haze/engine/ops.h"
#include "haze/tools/run/saved_model.h"

namespace haze {
namespace {

/// Runs `action` on at most 256 examples at a time: a network holds much more than its input.
void in_chunks(const Tensor& values, const std::function<void(const Tensor& chunk)>& action) {
  constexpr int64_t kExamples = 256;
  const NoGradient no_gradient;
  for (int64_t first = 0; first < values.size(0); first += kExamples)
    action(contiguous(slice(values, 0, first, std::min(first + kExamples, values.size(0)))));
}

}  // namespace

Judge Judge::load(const std::filesystem::path& folder, std::span<const int64_t> value_shape) {
  SavedModel saved = load_model(folder, {}, Purpose::training);
  if (!saved.model->feature_extractor()) {
    fail("data.judge: the run in {} is of the model {}, which has no features to compare examples by",
         folder.string(), saved.settings.text("model"));
  }
  const std::vector<int64_t> learned = saved.task->facts().value_shape;
  if (!std::equal(learned.begin(), learned.end(), value_shape.begin(), value_shape.end())) {
    fail("data.judge: the run in {} learned examples of [{}], and these are of [{}]", folder.string(),
         fmt::join(learned, ", "), fmt::join(value_shape, ", "));
  }
  return Judge(std::shared_ptr<const Model>(std::move(saved.model)));
}

SampleSet Judge::features(const Tensor& values) const {
  SampleSet all;
  in_chunks(values, [&](const Tensor& chunk) {
    const SampleSet features = sample_set(model_->feature_extractor()->features(chunk));
    all.count += features.count;
    all.dimensions = features.dimensions;
    all.values.insert(all.values.end(), features.values.begin(), features.values.end());
  });
  return all;
}

double Judge::accuracy(const Tensor& values, const Tensor& labels) const {
  std::vector<int32_t> classes;
  in_chunks(values, [&](const Tensor& chunk) {
    const std::vector<int32_t> of_chunk = model_->feature_extractor()->classes(chunk).to_vector<int32_t>();
    classes.insert(classes.end(), of_chunk.begin(), of_chunk.end());
  });
  const std::vector<int32_t> right = labels.to_vector<int32_t>();
  if (right.size() != classes.size() || right.empty())
    fail("{} examples have {} labels", classes.size(), right.size());
  int64_t agreeing = 0;
  for (size_t i = 0; i < right.size(); ++i) agreeing += classes[i] == right[i];
  return static_cast<double>(agreeing) / static_cast<double>(right.size());
}

std::filesystem::path judge_folder(const Settings& settings) {
  return settings.has("data.judge") ? settings.text("data.judge") : std::string();
}

}  // namespace haze

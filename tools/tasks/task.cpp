#include "haze/tools/tasks/task.h"

#include <algorithm>
#include <numeric>

#include "haze/tools/tasks/control_measures.h"
#include "haze/tools/tasks/sample_measures.h"
#include "haze/tools/tasks/tensor_task.h"
#include "haze/tools/tasks/text_task.h"

namespace haze {

std::vector<Batch> batches_of(const Examples& examples, std::span<const int64_t> indices,
                              int64_t rows_per_call) {
  std::vector<Batch> batches;
  std::vector<int64_t> call;
  int64_t rows = 0;
  for (const int64_t index : indices) {
    const int64_t more = examples.rows(index);
    if (!call.empty() && rows + more > rows_per_call) {
      batches.push_back(examples.batch(call));
      call.clear();
      rows = 0;
    }
    call.push_back(index);
    rows += more;
  }
  if (!call.empty()) batches.push_back(examples.batch(call));
  return batches;
}

std::vector<int64_t> spread_indices(int64_t size, int64_t count) {
  const int64_t taken = count > 0 ? std::min(count, size) : size;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < taken; ++i) indices.push_back(i * size / taken);
  return indices;
}

std::vector<std::string> task_measure_names(const std::string& task) {
  if (task != "tensors") {
    std::vector<std::string> names = {"nats_per_token",
                                      "bits_per_token",
                                      "perplexity",
                                      "tokens",
                                      "texts",
                                      "blocks",
                                      "unknown_share",
                                      "length_nats_per_token",
                                      "nats_per_token_with_length",
                                      "floor_nats_per_token",
                                      "floor_nats_per_token_with_length",
                                      "grammatical_share",
                                      "tag_accuracy",
                                      "samples"};
    for (std::string& name : control_measure_names()) names.push_back(std::move(name));
    return names;
  }
  std::vector<std::string> names = {"nats_per_number", "bits_per_number", "numbers", "points", "images"};
  for (std::string& name : sample_measure_names()) names.push_back(std::move(name));
  return names;
}

const std::string& side_file(const SideFiles& files, std::string_view name) {
  for (const auto& [file, contents] : files) {
    if (file == name) return contents;
  }
  fail("the checkpoint has no {}", name);
}

std::optional<int32_t> wanted_label(const SampleRequest& request, const Uses& uses, int64_t labels,
                                    const std::string& model) {
  if (!request.label) return {};
  if (!uses.label) fail("the model {} cannot draw examples of one label", model);
  if (*request.label < 0 || *request.label >= labels) {
    fail(
        "label {}: {}", *request.label,
        labels > 0 ? fmt::format("the data have the labels 0 to {}", labels - 1) : "the data have no labels");
  }
  return static_cast<int32_t>(*request.label);
}

void Task::require_picture(const Settings& settings) const {
  if (facts().value_shape.empty())
    fail("the model {} makes texts, of which there is no picture", settings.text("model"));
}

Picture Task::picture(const Settings& settings, const Samples&) const {
  require_picture(settings);
  fail("there is no picture of what the model {} makes", settings.text("model"));
}

std::unique_ptr<Task> start_task(const Settings& settings, const std::filesystem::path& folder) {
  if (settings.text("data.task") == "tensors") return TensorTask::start(settings);
  return TextTask::start(settings, folder);
}

std::unique_ptr<Task> restore_task(const Settings& settings, const std::filesystem::path& folder,
                                   const SideFiles& side_files) {
  if (settings.text("data.task") == "tensors") return TensorTask::restore(settings, side_files);
  return TextTask::restore(settings, folder, side_files);
}

}  // namespace haze

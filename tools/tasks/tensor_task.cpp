#include "haze/tools/tasks/tensor_task.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/ops.h"
#include "haze/nn/nesting.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/tasks/point_sets.h"
#include "haze/tools/tasks/sample_measures.h"
#include "haze/tools/tasks/tensor_data.h"

namespace haze {
namespace {

constexpr const char* kFactsFile = "data.json";

// What a checkpoint may say of its images: no less than a folder can hold, and sizes that networks can have.
constexpr int64_t kMostNumbers = 1 << 26, kMostLevels = 1 << 16, kMostLabels = 1 << 16;

std::vector<float> numbers_of(const Samples& samples, int64_t index) {
  return contiguous(slice(samples.values, 0, index, index + 1)).to_vector<float>();
}

std::string facts_json(const DataFacts& facts) {
  return nlohmann::ordered_json{{"value_shape", facts.value_shape},
                                {"value_levels", facts.value_levels},
                                {"labels", facts.labels}}
             .dump() +
         "\n";
}

// Throws Error where the number is none from `minimum` to `maximum`. A fraction is refused: JSON's reader
// would cut it.
int64_t whole_number(const nlohmann::json& number, const char* what, int64_t minimum, int64_t maximum,
                     const std::string& source) {
  const bool fits = number.is_number_unsigned() && number.get<uint64_t>() >= static_cast<uint64_t>(minimum) &&
                    number.get<uint64_t>() <= static_cast<uint64_t>(maximum);
  if (!fits) fail("{}: {} is no whole number from {} to {}", source, what, minimum, maximum);
  return number.get<int64_t>();
}

std::vector<int64_t> image_shape(const nlohmann::json& json, const std::string& source) {
  if (!json.is_array() || json.size() != 3) fail("{}: it has no shape of images", source);
  std::vector<int64_t> shape;
  int64_t numbers_left = kMostNumbers;
  for (const nlohmann::json& extent : json) {
    shape.push_back(whole_number(extent, "an extent of an image", 1, kMostNumbers, source));
    numbers_left /= shape.back();
  }
  if (numbers_left == 0)
    fail("{}: an image of {} is more than {} numbers", source, fmt::join(shape, " x "), kMostNumbers);
  return shape;
}

DataFacts facts_from_json(const std::string& text, const std::string& source) {
  require_shallow(text, source);
  try {
    const nlohmann::json json = nlohmann::json::parse(text);
    DataFacts facts;
    facts.value_shape = image_shape(json.at("value_shape"), source);
    const nlohmann::json& levels = json.at("value_levels");
    if (levels != 0) facts.value_levels = whole_number(levels, "value_levels", 2, kMostLevels, source);
    facts.labels = whole_number(json.at("labels"), "labels", 0, kMostLabels, source);
    return facts;
  } catch (const nlohmann::json::exception& error) {
    fail("{}: {}", source, error.what());
  }
}

}  // namespace

std::unique_ptr<TensorTask> TensorTask::start(const Settings& settings) {
  return std::make_unique<TensorTask>(settings.text("model"), tensor_facts(settings));
}

std::unique_ptr<TensorTask> TensorTask::restore(const Settings& settings, const SideFiles& side_files) {
  if (!is_from_folder(settings)) return start(settings);
  return std::make_unique<TensorTask>(
      settings.text("model"),
      facts_from_json(side_file(side_files, kFactsFile), fmt::format("{} of the checkpoint", kFactsFile)));
}

SideFiles TensorTask::side_files() const {
  // What is drawn says its shape by its name, images also where their folder is no longer there.
  if (!is_of_images()) return {};
  return {{kFactsFile, facts_json(facts_)}};
}

std::unique_ptr<Examples> TensorTask::examples(const Settings& settings, Part part) const {
  std::unique_ptr<Examples> examples = tensor_examples(settings, part);
  const Shape found = examples->batch(std::vector<int64_t>{0}).values.shape();
  const Shape expected = batch_shape(1, Shape(std::span(facts_.value_shape)));
  if (!(found == expected)) {
    fail("{}: the model {} learns {}, and these are {}", origin(settings, part), model_, expected.to_string(),
         found.to_string());
  }
  return examples;
}

std::unique_ptr<Examples> TensorTask::examples_of(const Settings&, const std::filesystem::path& file) const {
  fail("{}: the model {} is evaluated on points that are drawn, not on a file", file.string(), model_);
}

DataSummary TensorTask::summary(const Examples& train, const Examples&) const {
  const std::string units = example() + "s";
  return {fmt::format("{} {}", format_whole(train.size()), units),
          {{units, units, static_cast<double>(train.size()), {}, "", 0}}};
}

std::string TensorTask::origin(const Settings& settings, Part part) const {
  return tensor_origin(settings, part);
}

std::string TensorTask::fingerprint(const Settings& settings, Part part) const {
  return tensor_fingerprint(settings, part);
}

std::vector<Request> TensorTask::requests(const Settings& settings, const Uses& uses,
                                          const SampleRequest& request) const {
  if (request.gapped) fail("the model {} cannot infill texts", model_);
  if (request.prompt || request.source || request.length > 0)
    fail("the model {} makes no texts: it takes no prompt, source or length", model_);
  if (request.label && !uses.label && settings.has("sample.classifier"))
    fail("the model {} needs a classifier to draw examples of one label: name its run by --classifier",
         model_);
  Request one;
  one.label = wanted_label(request, uses, facts_.labels, model_);
  return std::vector<Request>(static_cast<size_t>(request.count), one);
}

std::string TensorTask::written(const Samples& samples, int64_t index) const {
  if (is_of_images()) return shades_of(slice(samples.values, 0, index, index + 1));
  return fmt::format("{:.5f}", fmt::join(numbers_of(samples, index), " "));
}

std::string TensorTask::json(const Samples& samples, int64_t index) const {
  return nlohmann::json{{"values", numbers_of(samples, index)}}.dump();
}

Picture TensorTask::picture(const Settings& settings, const Samples& samples) const {
  if (is_of_images()) return sheet_of(samples.values);
  const std::string& set = settings.text("data.set");
  // A margin for samples that lie where the data do not.
  const double extent = 1.25 * point_set_extent(set);
  const Picture density =
      density_picture([&](double x, double y) { return point_density(set, x, y); }, extent);
  const std::array<Picture, 2> both = {density, points_picture(samples.values, extent)};
  return beside_each_other(both);
}

Trace TensorTask::new_trace(const Request&) const {
  fail("a trace shows how a text appears, and the model {} makes none", model_);
}

TraceStep TensorTask::trace_step(const Snapshot&, size_t) const {
  fail("a trace shows how a text appears, and the model {} makes none", model_);
}

void TensorTask::measure(const TaskEvaluation& evaluation, Report& report) const {
  std::vector<PointMode> modes;
  if (!is_of_images()) modes = point_set_modes(evaluation.settings.text("data.set"));
  measure_samples(*this, evaluation, modes, report);
}

}  // namespace haze

#include "haze/tools/tasks/tensor_task.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/ops.h"
#include "haze/tools/tasks/point_sets.h"

namespace haze {
namespace {

// Streams of the run's seed for the parts, far from those of training.
constexpr uint64_t kFirstPartStream = uint64_t{1} << 61;

int64_t size_of_part(const Settings& settings, Part part) {
  return settings.integer(part == Part::train ? "data.train_size" : "data.valid_size");
}

class TensorExamples : public Examples {
 public:
  explicit TensorExamples(LabelledPoints points) : points_(std::move(points)) {}

  int64_t size() const override { return points_.values.size(0); }
  int64_t rows(int64_t) const override { return 1; }
  Batch batch(std::span<const int64_t> indices) const override {
    const Tensor rows =
        Tensor::from(std::vector<int32_t>(indices.begin(), indices.end()), {std::ssize(indices)});
    Batch batch;
    batch.values = index_select(points_.values, 0, rows);
    if (points_.labels.defined()) batch.labels = index_select(points_.labels, 0, rows);
    return batch;
  }

 private:
  LabelledPoints points_;
};

std::vector<float> numbers_of(const Samples& samples, int64_t index) {
  return contiguous(slice(samples.values, 0, index, index + 1)).to_vector<float>();
}

}  // namespace

DataFacts TensorTask::facts() const {
  DataFacts facts;
  facts.value_shape = {2};
  return facts;
}

std::unique_ptr<Examples> TensorTask::examples(const Settings& settings, Part part) const {
  Generator generator(static_cast<uint64_t>(settings.integer("train.seed")),
                      kFirstPartStream + static_cast<uint64_t>(part));
  return std::make_unique<TensorExamples>(
      draw_labelled_points(settings.text("data.set"), size_of_part(settings, part), generator));
}

std::unique_ptr<Examples> TensorTask::examples_of(const Settings&, const std::filesystem::path& file) const {
  fail("{}: the model {} is evaluated on points that are drawn, not on a file", file.string(), model_);
}

std::string TensorTask::origin(const Settings& settings, Part part) const {
  return fmt::format("{}, {} points", settings.text("data.set"), size_of_part(settings, part));
}

std::string TensorTask::fingerprint(const Settings& settings, Part part) const {
  return fmt::format("{}, seed {}", origin(settings, part), settings.integer("train.seed"));
}

std::vector<Request> TensorTask::requests(const Settings&, const Uses&, const SampleRequest& request) const {
  if (request.gapped) fail("the model {} cannot infill texts", model_);
  if (request.prompt || request.source || request.length > 0)
    fail("the model {} makes no texts: it takes no prompt, source or length", model_);
  return std::vector<Request>(static_cast<size_t>(request.count));
}

std::string TensorTask::written(const Samples& samples, int64_t index) const {
  return fmt::format("{:.5f}", fmt::join(numbers_of(samples, index), " "));
}

std::string TensorTask::json(const Samples& samples, int64_t index) const {
  return nlohmann::json{{"values", numbers_of(samples, index)}}.dump();
}

Trace TensorTask::new_trace(const Request&) const {
  fail("a trace shows how a text appears, and the model {} makes none", model_);
}

TraceStep TensorTask::trace_step(const Snapshot&, size_t) const {
  fail("a trace shows how a text appears, and the model {} makes none", model_);
}

}  // namespace haze

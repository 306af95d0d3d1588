#include "haze/tools/tasks/sample_measures.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "haze/tools/run/training_settings.h"
#include "haze/tools/tasks/tensor_task.h"

#include "error_of.h"

using namespace haze;
using namespace haze::testing;

namespace {

using Draw = std::function<Tensor(int64_t count)>;

/// A model that has learnt nothing and draws what the test wants.
class DrawingModel : public Model, public Sampler {
 public:
  explicit DrawingModel(Draw draw) : draw_(std::move(draw)) {}
  Loss loss(const Batch&, size_t, const ForwardContext&) const override { fail("it has no loss"); }
  const Sampler* sampler() const override { return draw_ ? this : nullptr; }
  Samples sample(std::span<const Request> requests, const SampleOptions&, Generator&) const override {
    return {{}, draw_(std::ssize(requests)), 3 * std::ssize(requests)};
  }

 private:
  Draw draw_;
};

Report measured(const Draw& draw, int64_t samples, const std::string& set = "eight-gaussians") {
  Settings settings =
      settings_from({}, {"model=ddpm", "data.train_size=3000", "data.valid_size=1000", "data.set=" + set});
  const TensorTask task("drawing");
  const std::unique_ptr<Examples> examples = task.examples(settings, Part::test);
  std::vector<int64_t> indices(static_cast<size_t>(examples->size()));
  std::iota(indices.begin(), indices.end(), 0);
  const DrawingModel model(draw);
  Report report;
  task.measure({.model = model,
                .settings = settings,
                .examples = *examples,
                .indices = indices,
                .file = {},
                .samples = samples,
                .observer = [](const std::string&, int64_t, int64_t) {}},
               report);
  return report;
}

Draw from_set(const std::string& set) {
  return [set](int64_t count) {
    Generator generator(99);
    return draw_points(set, count, generator);
  };
}

}  // namespace

TEST_CASE("samples from the data's own distribution are measured as training examples are") {
  const Report report = measured(from_set("eight-gaussians"), 1000);
  // Shares of 1000 points are within 4 standard errors of one another.
  for (const char* name : {"precision", "recall", "high_quality_share"}) {
    const double share = report.at(name).value, of_data = report.at(std::string(name) + "_of_data").value;
    CAPTURE(name);
    CHECK(share > 0.8);
    CHECK(std::abs(share - of_data) < 4 * std::sqrt(2 * 0.25 / 1000));
  }
  // The share of a mode differs between two sets of 1000 points by 0.015, one standard deviation, so that at
  // most 8 x 0.015 / 2 = 0.06 of the mass travels, at most by the diameter 4 and on average half of that
  // squared: the distance is below the root of 0.06 x 16 / 2.
  for (const char* name : {"sliced_wasserstein", "sliced_wasserstein_of_data"}) {
    CHECK(report.at(name).value > 0);
    CHECK(report.at(name).value < 0.7);
  }
  CHECK(report.at("modes_covered").value == 8);
  CHECK(report.at("samples").value == 1000);
  CHECK(report.at("network_calls").value == 3);
  CHECK(report.at("sampling_seconds").value >= 0);
}

TEST_CASE("a model of one mode has good samples, a low recall, one mode and a large distance") {
  const Report report = measured(
      [](int64_t count) {
        Generator generator(7);
        Tensor points({count, 2});
        for (int64_t i = 0; i < count; ++i) {
          points.data<float>()[2 * i] = static_cast<float>(2 + 0.2 * (generator.uniform() - 0.5));
          points.data<float>()[2 * i + 1] = static_cast<float>(0.2 * (generator.uniform() - 0.5));
        }
        return points;
      },
      500);
  CHECK(report.at("modes_covered").value == 1);
  CHECK(report.at("high_quality_share").value == 1);
  CHECK(report.at("precision").value > 0.95);
  CHECK(report.at("recall").value < 0.1);
  // All mass but an eighth has to travel: the mean squared distance of a circle of radius 2 to one of its
  // points is 8, and half of it along a direction.
  CHECK(report.at("sliced_wasserstein").value == doctest::Approx(2).epsilon(0.1));
}

TEST_CASE("sets that are no mixture have no modes") {
  const Report report = measured(from_set("two-moons"), 100, "two-moons");
  CHECK(!report.find("modes_covered"));
  CHECK(!report.find("high_quality_share"));
  CHECK(report.find("sliced_wasserstein"));
}

TEST_CASE("no more samples than examples are compared, and too few have no neighbours") {
  CHECK(measured(from_set("eight-gaussians"), 1500).at("samples").value == 1500);
  const Report few = measured(from_set("eight-gaussians"), 3);
  CHECK(!few.find("precision"));
  REQUIRE(few.notes.size() == 1);
  CHECK(few.notes[0] == "no precision and recall: they need more than 3 samples and examples");
  CHECK(measured(from_set("eight-gaussians"), 0).measures.empty());
  CHECK(measured({}, 10).measures.empty());
}

TEST_CASE("the names of the measures of samples are known") {
  const std::vector<std::string> names = sample_measure_names();
  for (const Measure& measure : measured(from_set("eight-gaussians"), 20).measures)
    CHECK_MESSAGE(std::find(names.begin(), names.end(), measure.name) != names.end(), measure.name);
}

TEST_CASE("samples that are not finite are refused") {
  CHECK(error_of([] {
          measured(
              [](int64_t count) {
                Tensor points({count, 2});
                std::fill_n(points.data<float>(), 2 * count, std::nanf(""));
                return points;
              },
              10);
        }) == "a sample holds a number that is not finite");
}

#include "haze/tools/tasks/mode_coverage.h"

#include <cmath>

#include <doctest/doctest.h>

#include "error_of.h"

using namespace haze;
using namespace haze::testing;

namespace {

const std::vector<PointMode> kTwoModes{{-2, 0, 0.5}, {2, 0, 0.5}};

SampleSet points(std::vector<double> values) {
  return {std::ssize(values) / 2, 2, std::move(values)};
}

}  // namespace

TEST_CASE("a sample counts for its nearest mode within three standard deviations, and not beyond") {
  const ModeCoverage coverage =
      mode_coverage(points({-2, 1.49, -2, -1.51, 0.51, 0, 3.4, 0, -0.4, 0, 9, 9}), kTwoModes);
  CHECK(coverage.samples == std::vector<int64_t>{1, 2});
  CHECK(coverage.high_quality == 3);
}

TEST_CASE("a mode is covered by a quarter of its fair share of the samples") {
  // The fair share of 16 samples is 8, and a quarter of it 2.
  std::vector<double> values;
  for (int i = 0; i < 14; ++i) values.insert(values.end(), {-2, 0});
  values.insert(values.end(), {2, 0, 2, 0});
  CHECK(mode_coverage(points(values), kTwoModes).covered == 2);
  values.resize(values.size() - 1);
  values.push_back(5);
  CHECK(mode_coverage(points(values), kTwoModes).samples == std::vector<int64_t>{14, 1});
  CHECK(mode_coverage(points(values), kTwoModes).covered == 1);
}

TEST_CASE("points of the mixture cover all modes, 1 - exp(-4.5) of them within three deviations (4 errors)") {
  Generator generator(3);
  constexpr int64_t kCount = 20000;
  const std::vector<PointMode> modes = point_set_modes("eight-gaussians");
  const ModeCoverage coverage =
      mode_coverage(sample_set(draw_points("eight-gaussians", kCount, generator)), modes);
  CHECK(coverage.covered == 8);
  const double expected = 1 - std::exp(-4.5), error = std::sqrt(expected * (1 - expected) / kCount);
  CHECK(std::abs(static_cast<double>(coverage.high_quality) / kCount - expected) < 4 * error);
}

TEST_CASE("modes of anything but points of the plane are refused") {
  CHECK(error_of([] {
          mode_coverage({1, 3, {0, 0, 0}}, kTwoModes);
        }) == "modes are covered by points of the plane");
  CHECK(error_of([] { mode_coverage({1, 2, {0, 0}}, {}); }) == "modes are covered by points of the plane");
}

#include "haze/tools/tasks/point_sets.h"

#include <array>
#include <cmath>
#include <map>
#include <numbers>
#include <vector>

#include <doctest/doctest.h>

#include "haze/tools/tasks/tensor_task.h"

#include "error_of.h"
#include "tiny_run.h"

using namespace haze;
using haze::testing::error_of;

namespace {

constexpr int64_t kCount = 100'000;

std::vector<float> points(const std::string& set, int64_t count, uint64_t seed) {
  Generator generator(seed);
  const Tensor drawn = draw_points(set, count, generator);
  CHECK(drawn.shape() == Shape{count, 2});
  return drawn.to_vector<float>();
}

/// Checks that the mean of `value` over points has the expectation `expected` (4 standard errors: 99.994%).
template <typename Value>
void check_mean(const std::vector<float>& xy, double expected, Value value) {
  const auto count = static_cast<double>(xy.size() / 2);
  double sum = 0, squares = 0;
  for (size_t i = 0; i < xy.size(); i += 2) {
    const double one = value(static_cast<double>(xy[i]), static_cast<double>(xy[i + 1]));
    sum += one;
    squares += one * one;
  }
  const double mean = sum / count, error = std::sqrt((squares / count - mean * mean) / count);
  CAPTURE(mean);
  CAPTURE(error);
  CHECK(std::abs(mean - expected) < 4 * error);
}

/// Mean 0 and the second moments.
void check_moments(const std::vector<float>& xy, double xx, double x_y, double yy) {
  check_mean(xy, 0, [](double x, double) { return x; });
  check_mean(xy, 0, [](double, double y) { return y; });
  check_mean(xy, xx, [](double x, double) { return x * x; });
  check_mean(xy, x_y, [](double x, double y) { return x * y; });
  check_mean(xy, yy, [](double, double y) { return y * y; });
}

/// Distance from the half circle of radius 1 above its centre.
double distance_to_half_circle(double x, double y) {
  return y >= 0 ? std::abs(std::hypot(x, y) - 1) : std::hypot(std::abs(x) - 1, y);
}

std::vector<float> part(const Settings& settings, Part part) {
  const auto examples = TensorTask("ddpm").examples(settings, part);
  const std::vector<int64_t> all = spread_indices(examples->size(), 0);
  return examples->batch(all).values.to_vector<float>();
}

Settings ddpm_settings(const std::vector<std::string>& more = {}) {
  std::vector<std::string> assignments = {"model=ddpm", "data.train_size=50", "data.valid_size=20"};
  assignments.insert(assignments.end(), more.begin(), more.end());
  return settings_from({}, assignments);
}

}  // namespace

TEST_CASE("eight Gaussians have mean 0 and covariance (radius^2 / 2 + noise^2) I (99.9 %, 100,000 points)") {
  check_moments(points("eight-gaussians", kCount, 11), 2.04, 0, 2.04);
}

TEST_CASE("each of the eight Gaussians has as many points and its own spread (chi-squared, 99.9 %)") {
  const std::vector<float> xy = points("eight-gaussians", kCount, 12);
  std::array<double, 8> counts{}, squares{};
  for (size_t i = 0; i < xy.size(); i += 2) {
    const double x = static_cast<double>(xy[i]), y = static_cast<double>(xy[i + 1]);
    const double turn = std::atan2(y, x) / (2 * std::numbers::pi) * 8;
    const auto mode = static_cast<size_t>(std::lround(turn) + 8) % 8;
    const double angle = std::numbers::pi / 4 * static_cast<double>(mode);
    ++counts[mode];
    squares[mode] += std::pow(x - 2 * std::cos(angle), 2) + std::pow(y - 2 * std::sin(angle), 2);
  }
  double chi_squared = 0;
  for (size_t mode = 0; mode < 8; ++mode) {
    chi_squared += std::pow(counts[mode] - kCount / 8.0, 2) / (kCount / 8.0);
    // Variance 0.04 in each coordinate: 0.9% is one standard error of 25,000 squares.
    CHECK(squares[mode] / (2 * counts[mode]) == doctest::Approx(0.04).epsilon(0.04));
  }
  CHECK(chi_squared < 24.32);  // 7 degrees of freedom
}

TEST_CASE("two moons have the moments of two half circles and their noise (99.9 %, 100,000 points)") {
  constexpr double kNoise = 0.01;
  const double mean_sine = 2 / std::numbers::pi;
  // Of the upper moon: x = cos - 1/2, y = sin - 1/4; the lower one is its image in the origin.
  check_moments(points("two-moons", kCount, 13), 0.5 + 0.25 + kNoise, -0.5 * mean_sine + 0.125,
                0.5 - 0.5 * mean_sine + 0.0625 + kNoise);
}

TEST_CASE("half the points lie on each moon, as far from it as the noise says (99.9 %)") {
  const std::vector<float> xy = points("two-moons", kCount, 14);
  double upper = 0, squares = 0;
  for (size_t i = 0; i < xy.size(); i += 2) {
    const double x = static_cast<double>(xy[i]), y = static_cast<double>(xy[i + 1]);
    const double to_upper = distance_to_half_circle(x + 0.5, y + 0.25);
    const double to_lower = distance_to_half_circle(0.5 - x, 0.25 - y);
    upper += to_upper < to_lower;
    squares += std::pow(std::min(to_upper, to_lower), 2);
  }
  CHECK(std::abs(upper - kCount / 2.0) < 3.29 * std::sqrt(kCount / 4.0));
  // Near the ends both coordinates of the noise count, elsewhere the radial one.
  const double spread = std::sqrt(squares / kCount);
  CHECK(spread > 0.095);
  CHECK(spread < 0.11);
}

TEST_CASE("points depend on the seed and their number: a smaller draw is the beginning of a larger one") {
  for (const std::string& set : point_set_names()) {
    CAPTURE(set);
    const std::vector<float> many = points(set, 100, 5);
    CHECK(points(set, 100, 5) == many);
    const std::vector<float> few = points(set, 17, 5);
    CHECK(std::equal(few.begin(), few.end(), many.begin()));
    CHECK(points(set, 100, 6) != many);
  }
  Generator generator(1);
  CHECK(error_of([&] { draw_points("three-moons", 1, generator); }) ==
        "there is no set of points 'three-moons'");
}

TEST_CASE("no point is in two of the parts, and every part depends on the run's seed") {
  for (const std::string& set : point_set_names()) {
    const Settings settings = ddpm_settings({"data.set=" + set});
    const Settings larger = ddpm_settings({"data.set=" + set, "data.train_size=70", "data.valid_size=70"});
    const Settings other = ddpm_settings({"data.set=" + set, "train.seed=2"});
    std::map<std::pair<float, float>, int> times;
    for (const Part one : {Part::train, Part::valid, Part::test}) {
      const std::vector<float> xy = part(settings, one), longer = part(larger, one);
      CHECK(xy.size() == (one == Part::train ? 100 : 40));
      CHECK(std::equal(xy.begin(), xy.end(), longer.begin()));
      CHECK(part(other, one) != xy);
      for (size_t i = 0; i < longer.size(); i += 2) ++times[{longer[i], longer[i + 1]}];
    }
    CHECK(times.size() == 3 * 70);
  }
}

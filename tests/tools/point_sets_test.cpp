#include "haze/tools/tasks/point_sets.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <numbers>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "haze/tools/tasks/tensor_task.h"

#include "engine/statistics.h"
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
        "there is no set of points 'three-moons'; the sets are eight-gaussians, two-moons, swiss-roll, "
        "checkerboard");
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

namespace {

/// Calls `visit(x, y)` at the middles of the cells of a grid over the square that holds a set.
void visit_grid(const std::string& set, int cells, const std::function<void(double, double)>& visit) {
  const double extent = point_set_extent(set), side = 2 * extent / cells;
  for (int row = 0; row < cells; ++row) {
    for (int column = 0; column < cells; ++column)
      visit(-extent + (column + 0.5) * side, -extent + (row + 0.5) * side);
  }
}

/// The integral of `value` by the rule of middles, which is nearly exact for a density with normal tails.
double integral(const std::string& set, int cells, const std::function<double(double, double)>& value) {
  double sum = 0;
  visit_grid(set, cells, [&](double x, double y) { sum += value(x, y); });
  return sum * std::pow(2 * point_set_extent(set) / cells, 2);
}

/// The density of a curve with normal noise of deviation 0.1, by the rule of middles with 20,000 of them.
double curve_density(double x, double y, const std::function<std::pair<double, double>(double)>& curve) {
  constexpr int kNodes = 20'000;
  constexpr double kVariance = 0.01;
  double sum = 0;
  for (int i = 0; i < kNodes; ++i) {
    const auto [at_x, at_y] = curve((i + 0.5) / kNodes);
    sum += std::exp(-0.5 * (std::pow(x - at_x, 2) + std::pow(y - at_y, 2)) / kVariance);
  }
  return sum / kNodes / (2 * std::numbers::pi * kVariance);
}

}  // namespace

TEST_CASE("the density of each set of points integrates to 1, and so all but 1e-6 lies in its square") {
  for (const std::string& set : point_set_names()) {
    CAPTURE(set);
    const double total = integral(set, 160, [&](double x, double y) { return point_density(set, x, y); });
    CHECK(std::abs(total - 1) < 1e-6);
  }
}

TEST_CASE("the densities of moons and roll agree to 1e-6 with a sum over 20,000 points of the curve") {
  const auto moon = [](double u) {
    return std::pair(std::cos(std::numbers::pi * u) - 0.5, std::sin(std::numbers::pi * u) - 0.25);
  };
  const auto roll = [](double u) {
    const double t = 1.5 * std::numbers::pi * (1 + 2 * u);
    return std::pair(t * std::cos(t) / 5, t * std::sin(t) / 5);
  };
  Generator generator(21);
  for (int i = 0; i < 40; ++i) {
    const double x = 4 * generator.uniform() - 2, y = 4 * generator.uniform() - 2;
    CAPTURE(x);
    CAPTURE(y);
    const double moons = 0.5 * (curve_density(x, y, moon) + curve_density(-x, -y, moon));
    CHECK(point_density("two-moons", x, y) == doctest::Approx(moons).epsilon(1e-6));
    CHECK(point_density("swiss-roll", x, y) == doctest::Approx(curve_density(x, y, roll)).epsilon(1e-6));
  }
}

TEST_CASE("points fall into the cells of a grid as often as the density says (chi-squared, 99.9 %)") {
  constexpr int kCells = 12, kFine = 12;  // each cell's probability is a sum over 12 x 12 smaller ones
  for (const std::string& set : point_set_names()) {
    CAPTURE(set);
    const double extent = point_set_extent(set);
    const auto cell_of = [&](double x, double y) {
      const auto along = [&](double at) {
        return std::clamp(static_cast<int>((at + extent) / (2 * extent) * kCells), 0, kCells - 1);
      };
      return static_cast<size_t>(along(y) * kCells + along(x));
    };
    std::vector<double> expected(kCells * kCells);
    const double area = std::pow(2 * extent / (kCells * kFine), 2);
    visit_grid(set, kCells * kFine, [&](double x, double y) {
      expected[cell_of(x, y)] += area * kCount * point_density(set, x, y);
    });
    const std::vector<float> xy = points(set, kCount, 15);
    std::vector<int64_t> counts(expected.size());
    for (size_t i = 0; i < xy.size(); i += 2)
      ++counts[cell_of(static_cast<double>(xy[i]), static_cast<double>(xy[i + 1]))];
    // Cells that expect fewer than 10 points are one cell.
    std::vector<int64_t> kept_counts(1);
    std::vector<double> kept_expected(1);
    for (size_t cell = 0; cell < counts.size(); ++cell) {
      if (expected[cell] < 10) {
        kept_counts[0] += counts[cell];
        kept_expected[0] += expected[cell];
      } else {
        kept_counts.push_back(counts[cell]);
        kept_expected.push_back(expected[cell]);
      }
    }
    if (kept_expected[0] < 1) {
      CHECK(kept_counts[0] < 10);
      kept_counts.erase(kept_counts.begin());
      kept_expected.erase(kept_expected.begin());
    }
    REQUIRE(kept_counts.size() > 6);
    CHECK(test::chi_squared(kept_counts, kept_expected) < test::chi_squared_limit(kept_counts.size() - 1));
  }
}

TEST_CASE(
    "the entropy of eight Gaussians is 1.698 nats a point, by quadrature and by the mean of -log p (99.9 "
    "%)") {
  const double entropy = integral("eight-gaussians", 200, [](double x, double y) {
    const double density = point_density("eight-gaussians", x, y);
    return -density * std::log(density);
  });
  CHECK(std::abs(entropy - 1.698) < 0.0005);
  check_mean(points("eight-gaussians", kCount, 16), entropy,
             [](double x, double y) { return -std::log(point_density("eight-gaussians", x, y)); });
  // Were the distributions far apart, it would be that of a normal distribution plus that of a choice of 8.
  const double apart = 1 + std::log(2 * std::numbers::pi * 0.04) + std::log(8);
  CHECK(entropy < apart);
  CHECK(entropy > apart - 0.01);
}

TEST_CASE("the modes of eight Gaussians are the mixture that its density says") {
  const std::vector<PointMode> modes = point_set_modes("eight-gaussians");
  REQUIRE(modes.size() == 8);
  for (const auto& [x, y] : {std::pair(0.0, 0.0), {2, 0}, {1.3, -1.4}, {-0.5, 2.4}}) {
    double density = 0;
    for (const PointMode& mode : modes) {
      const double squared = std::pow(x - mode.x, 2) + std::pow(y - mode.y, 2),
                   variance = std::pow(mode.deviation, 2);
      density += std::exp(-squared / (2 * variance)) / (2 * std::numbers::pi * variance) / 8;
    }
    CHECK(point_density("eight-gaussians", x, y) == doctest::Approx(density));
  }
  CHECK(point_set_modes("checkerboard").empty());
  CHECK(error_of([] { point_set_modes("three-moons"); }) ==
        "there is no set of points 'three-moons'; the sets are eight-gaussians, two-moons, swiss-roll, "
        "checkerboard");
}

TEST_CASE("a point's label is the Gaussian, the moon or the square that it was drawn from") {
  Generator generator(17);
  const auto drawn = [&](const char* set) { return draw_labelled_points(set, 2000, generator); };
  const auto labels_of = [](const LabelledPoints& points) { return points.labels.to_vector<int32_t>(); };
  const LabelledPoints gaussians = drawn("eight-gaussians"), moons = drawn("two-moons"),
                       squares = drawn("checkerboard");
  std::vector<float> xy = gaussians.values.to_vector<float>();
  std::vector<int32_t> labels = labels_of(gaussians);
  for (size_t i = 0; i < labels.size(); ++i) {
    const PointMode mode = point_set_modes("eight-gaussians")[static_cast<size_t>(labels[i])];
    CHECK(std::hypot(xy[2 * i] - mode.x, xy[2 * i + 1] - mode.y) < 5 * mode.deviation);
  }
  xy = moons.values.to_vector<float>();
  labels = labels_of(moons);
  for (size_t i = 0; i < labels.size(); ++i) {
    const double sign = labels[i] == 0 ? 1 : -1;
    CHECK(distance_to_half_circle(sign * xy[2 * i] + 0.5, sign * xy[2 * i + 1] + 0.25) < 0.5);
  }
  xy = squares.values.to_vector<float>();
  labels = labels_of(squares);
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto row = static_cast<int>(std::floor(xy[2 * i + 1])) + 2,
               column = static_cast<int>(std::floor(xy[2 * i])) + 2;
    CHECK((row + column) % 2 == 0);
    CHECK(labels[i] == 2 * row + column / 2);
  }
  for (const std::string& set : point_set_names()) {
    const LabelledPoints points = drawn(set.c_str());
    CHECK(points.labels.defined() == (point_set_labels(set) > 0));
    if (!points.labels.defined()) continue;
    std::set<int32_t> seen;
    for (const int32_t label : labels_of(points)) seen.insert(label);
    CHECK(std::ssize(seen) == point_set_labels(set));
    CHECK(*seen.rbegin() == point_set_labels(set) - 1);
  }
  CHECK_FALSE(drawn("swiss-roll").labels.defined());
}

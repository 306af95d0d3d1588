#include "haze/tools/tasks/point_sets.h"

#include <array>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr double kPi = std::numbers::pi;

struct Point {
  double x = 0, y = 0;
};

struct LabelledPoint {
  Point at;
  int32_t label = 0;
};

// Two independent standard normal numbers (Box and Muller 1958).
Point draw_normal(Generator& generator) {
  const double radius = std::sqrt(-2 * std::log(1 - generator.uniform()));
  const double angle = 2 * kPi * generator.uniform();
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

// The density of N(centre, deviation^2 I).
double normal_density(Point at, Point centre, double deviation) {
  const double x = (at.x - centre.x) / deviation, y = (at.y - centre.y) / deviation;
  return std::exp(-0.5 * (x * x + y * y)) / (2 * kPi * deviation * deviation);
}

/// A curve c(u), u uniform in [0, 1], with normal noise: p(x) is the integral of N(x; c(u), deviation^2 I)
/// over u. Composite Gauss-Legendre quadrature of 5 nodes in each of `panels` intervals; along each the curve
/// has to be about as long as the noise is wide.
class NoisyCurve {
 public:
  NoisyCurve(Point (*curve)(double), double deviation, int panels) : deviation_(deviation) {
    // The zeros of the Legendre polynomial P_5, and their weights (Abramowitz and Stegun, 25.4.29).
    const double root = 2 * std::sqrt(10.0 / 7), inner = std::sqrt(5 - root) / 3,
                 outer = std::sqrt(5 + root) / 3;
    const double inner_weight = (322 + 13 * std::sqrt(70.0)) / 900,
                 outer_weight = (322 - 13 * std::sqrt(70.0)) / 900;
    const std::array<std::pair<double, double>, 5> rule = {{{-outer, outer_weight},
                                                            {-inner, inner_weight},
                                                            {0, 128.0 / 225},
                                                            {inner, inner_weight},
                                                            {outer, outer_weight}}};
    for (int panel = 0; panel < panels; ++panel) {
      for (const auto& [node, weight] : rule)
        nodes_.push_back({curve((panel + 0.5 * (1 + node)) / panels), 0.5 * weight / panels});
    }
  }

  double density(Point at) const {
    double sum = 0;
    for (const Node& node : nodes_) sum += node.weight * normal_density(at, node.at, deviation_);
    return sum;
  }

 private:
  struct Node {
    Point at;
    double weight;
  };
  double deviation_;
  std::vector<Node> nodes_;
};

constexpr double kGaussianNoise = 0.2, kMoonNoise = 0.1, kRollNoise = 0.1;

Point gaussian_mean(int64_t label) {
  constexpr double kRadius = 2;
  const double angle = 2 * kPi * static_cast<double>(label) / 8;
  return {kRadius * std::cos(angle), kRadius * std::sin(angle)};
}

LabelledPoint draw_eight_gaussians(Generator& generator) {
  const auto label = static_cast<int32_t>(generator.below(8));
  return {gaussian_mean(label), label};
}

double eight_gaussians_density(Point at) {
  double sum = 0;
  for (int64_t label = 0; label < 8; ++label)
    sum += normal_density(at, gaussian_mean(label), kGaussianNoise) / 8;
  return sum;
}

// The upper moon's centre is (0, 0), the lower one's (1, 0.5), and the mean of all points (0.5, 0.25).
Point upper_moon(double u) {
  return {std::cos(kPi * u) - 0.5, std::sin(kPi * u) - 0.25};
}

LabelledPoint draw_two_moons(Generator& generator) {
  const auto label = static_cast<int32_t>(generator.below(2));
  const Point upper = upper_moon(generator.uniform());
  // The lower moon is the image of the upper one in the origin.
  return label == 0 ? LabelledPoint{upper, 0} : LabelledPoint{{-upper.x, -upper.y}, 1};
}

double two_moons_density(Point at) {
  static const NoisyCurve upper(upper_moon, kMoonNoise, 48);
  return 0.5 * (upper.density(at) + upper.density({-at.x, -at.y}));
}

Point roll(double u) {
  const double t = kPi * (1.5 + 3 * u);
  return {t * std::cos(t) / 5, t * std::sin(t) / 5};
}

LabelledPoint draw_swiss_roll(Generator& generator) {
  return {roll(generator.uniform()), 0};
}

double swiss_roll_density(Point at) {
  static const NoisyCurve curve(roll, kRollNoise, 192);
  return curve.density(at);
}

LabelledPoint draw_checkerboard(Generator& generator) {
  const auto label = static_cast<int32_t>(generator.below(8));
  const int32_t row = label / 2, column = 2 * (label % 2) + row % 2;
  const double x = generator.uniform(), y = generator.uniform();
  return {{column - 2 + x, row - 2 + y}, label};
}

double checkerboard_density(Point at) {
  if (!(std::abs(at.x) < 2 && std::abs(at.y) < 2)) return 0;
  const bool dark = static_cast<int>(std::floor(at.x) + std::floor(at.y)) % 2 == 0;
  return dark ? 1.0 / 8 : 0;
}

struct PointSet {
  const char* name;
  int64_t labels;
  double noise;   // standard deviation of the normal noise that is added to a drawn point
  double extent;  // half the side of a square that holds the points
  LabelledPoint (*draw)(Generator&);
  double (*density)(Point);
};

constexpr std::array<PointSet, 4> kSets = {
    {{"eight-gaussians", 8, kGaussianNoise, 3, draw_eight_gaussians, eight_gaussians_density},
     {"two-moons", 2, kMoonNoise, 2, draw_two_moons, two_moons_density},
     {"swiss-roll", 0, kRollNoise, 3.5, draw_swiss_roll, swiss_roll_density},
     {"checkerboard", 8, 0, 2, draw_checkerboard, checkerboard_density}}};

const PointSet& set_called(const std::string& name) {
  for (const PointSet& set : kSets) {
    if (set.name == name) return set;
  }
  fail("there is no set of points '{}'; the sets are {}", name, fmt::join(point_set_names(), ", "));
}

}  // namespace

std::vector<std::string> point_set_names() {
  std::vector<std::string> names;
  for (const PointSet& set : kSets) names.emplace_back(set.name);
  return names;
}

LabelledPoints draw_labelled_points(const std::string& name, int64_t count, Generator& generator) {
  const PointSet& set = set_called(name);
  LabelledPoints points{Tensor({count, 2}, Dtype::float32), {}};
  if (set.labels > 0) points.labels = Tensor({count}, Dtype::int32);
  float* values = points.values.data<float>();
  int32_t* labels = set.labels > 0 ? points.labels.data<int32_t>() : nullptr;
  for (int64_t i = 0; i < count; ++i) {
    const LabelledPoint drawn = set.draw(generator);
    const Point noise = set.noise > 0 ? draw_normal(generator) : Point{};
    *values++ = static_cast<float>(drawn.at.x + set.noise * noise.x);
    *values++ = static_cast<float>(drawn.at.y + set.noise * noise.y);
    if (labels) *labels++ = drawn.label;
  }
  return points;
}

Tensor draw_points(const std::string& set, int64_t count, Generator& generator) {
  return draw_labelled_points(set, count, generator).values;
}

int64_t point_set_labels(const std::string& set) {
  return set_called(set).labels;
}

double point_density(const std::string& set, double x, double y) {
  return set_called(set).density({x, y});
}

double point_set_extent(const std::string& set) {
  return set_called(set).extent;
}

std::vector<PointMode> point_set_modes(const std::string& name) {
  if (set_called(name).draw != draw_eight_gaussians) return {};
  std::vector<PointMode> modes;
  for (int64_t label = 0; label < 8; ++label) {
    const Point mean = gaussian_mean(label);
    modes.push_back({mean.x, mean.y, kGaussianNoise});
  }
  return modes;
}

}  // namespace haze

#include "haze/tools/tasks/point_sets.h"

#include <array>
#include <cmath>
#include <numbers>

#include "haze/engine/error.h"

namespace haze {
namespace {

struct Point {
  double x = 0, y = 0;
};

// Two independent standard normal numbers (Box and Muller 1958).
Point draw_normal(Generator& generator) {
  const double radius = std::sqrt(-2 * std::log(1 - generator.uniform()));
  const double angle = 2 * std::numbers::pi * generator.uniform();
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

Point draw_eight_gaussians(Generator& generator) {
  constexpr double kRadius = 2;
  const double angle = 2 * std::numbers::pi * static_cast<double>(generator.below(8)) / 8;
  return {kRadius * std::cos(angle), kRadius * std::sin(angle)};
}

Point draw_two_moons(Generator& generator) {
  const bool upper = generator.below(2) == 0;
  const double angle = std::numbers::pi * generator.uniform();
  // The upper moon's centre is (0, 0), the lower one's (1, 0.5); the mean of all points is (0.5, 0.25).
  if (upper) return {std::cos(angle) - 0.5, std::sin(angle) - 0.25};
  return {0.5 - std::cos(angle), 0.25 - std::sin(angle)};
}

struct PointSet {
  const char* name;
  double noise;  // standard deviation of the normal noise that is added
  Point (*draw)(Generator&);
};

constexpr std::array<PointSet, 2> kSets = {
    {{"eight-gaussians", 0.2, draw_eight_gaussians}, {"two-moons", 0.1, draw_two_moons}}};

}  // namespace

std::vector<std::string> point_set_names() {
  std::vector<std::string> names;
  for (const PointSet& set : kSets) names.emplace_back(set.name);
  return names;
}

Tensor draw_points(const std::string& name, int64_t count, Generator& generator) {
  for (const PointSet& set : kSets) {
    if (set.name != name) continue;
    Tensor points({count, 2}, Dtype::float32);
    float* out = points.data<float>();
    for (int64_t i = 0; i < count; ++i) {
      const Point centre = set.draw(generator), noise = draw_normal(generator);
      *out++ = static_cast<float>(centre.x + set.noise * noise.x);
      *out++ = static_cast<float>(centre.y + set.noise * noise.y);
    }
    return points;
  }
  fail("there is no set of points '{}'", name);
}

}  // namespace haze

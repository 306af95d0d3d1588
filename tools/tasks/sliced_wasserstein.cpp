#include "haze/tools/tasks/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"

namespace haze {
namespace {

/// A direction of the unit sphere: normal numbers (Box and Muller 1958) of length 1.
std::vector<double> random_direction(int64_t dimensions, Generator& generator) {
  std::vector<double> direction(static_cast<size_t>(dimensions));
  double squares = 0;
  for (double& value : direction) {
    const double radius = std::sqrt(-2 * std::log(1 - generator.uniform()));
    value = radius * std::cos(2 * std::numbers::pi * generator.uniform());
    squares += value * value;
  }
  for (double& value : direction) value /= std::sqrt(squares);
  return direction;
}

std::vector<std::vector<double>> directions_of(int64_t dimensions, int64_t projections) {
  constexpr uint64_t kSeed = 2011;
  Generator generator(kSeed);
  std::vector<std::vector<double>> directions;
  for (int64_t i = 0; i < projections; ++i) {
    if (dimensions == 2) {
      const double angle = std::numbers::pi * static_cast<double>(i) / static_cast<double>(projections);
      directions.push_back({std::cos(angle), std::sin(angle)});
    } else {
      directions.push_back(random_direction(dimensions, generator));
    }
  }
  return directions;
}

std::vector<double> sorted_projection(const SampleSet& set, std::span<const double> direction) {
  std::vector<double> projected(static_cast<size_t>(set.count));
  for (int64_t i = 0; i < set.count; ++i) {
    const std::span<const double> row = set.row(i);
    double sum = 0;
    for (size_t d = 0; d < row.size(); ++d) sum += row[d] * direction[d];
    projected[static_cast<size_t>(i)] = sum;
  }
  std::sort(projected.begin(), projected.end());
  return projected;
}

}  // namespace

double squared_wasserstein_of_sorted(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) fail("the Wasserstein distance is that of two sets of at least one number");
  const auto a_size = static_cast<double>(a.size()), b_size = static_cast<double>(b.size());
  // Both quantile functions are constant between the multiples of 1 / |a| and of 1 / |b|.
  double sum = 0, at = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const double a_end = static_cast<double>(i + 1) / a_size, b_end = static_cast<double>(j + 1) / b_size;
    const double end = std::min(a_end, b_end);
    sum += (end - at) * (a[i] - b[j]) * (a[i] - b[j]);
    at = end;
    if (a_end <= end) ++i;
    if (b_end <= end) ++j;
  }
  return sum;
}

double sliced_wasserstein(const SampleSet& a, const SampleSet& b, int64_t projections) {
  require_comparable(a, b);
  if (projections < 1) fail("the sliced Wasserstein distance needs at least one projection");
  double sum = 0;
  for (const std::vector<double>& direction : directions_of(a.dimensions, projections))
    sum += squared_wasserstein_of_sorted(sorted_projection(a, direction), sorted_projection(b, direction));
  return std::sqrt(sum / static_cast<double>(projections));
}

}  // namespace haze

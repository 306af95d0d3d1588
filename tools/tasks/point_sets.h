#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "haze/engine/generator.h"
#include "haze/engine/tensor.h"

namespace haze {

/// Sets of points of the plane. All functions below throw Error on another name than these:
///
/// - "eight-gaussians": eight normal distributions of standard deviation 0.2; their means lie evenly on a
///   circle of radius 2. The label k in 0..7 is the distribution, whose mean has the angle 2 pi k / 8.
/// - "two-moons": two half circles of radius 1 that reach into one another, moved so that the mean of all
///   points is 0, with normal noise of standard deviation 0.1. The label is 0 on the upper moon, 1 on the
///   lower.
/// - "swiss-roll": the spiral t (cos t, sin t) / 5 for uniform t in [1.5 pi, 4.5 pi], with normal noise of
///   standard deviation 0.1. It has no labels.
/// - "checkerboard": uniform on the eight dark squares of a board of 4 x 4 squares of side 1 around 0; the
///   lower left square is dark. The label 2 r + k in 0..7 is dark square k of row r, from below and the left.
std::vector<std::string> point_set_names();

/// Points and, of sets that have them, the labels.
struct LabelledPoints {
  Tensor values;  // float32 [count, 2]
  Tensor labels;  // int32 [count]; rank 0 where the set has none
};

/// `count` points, drawn independently. The first n of a larger draw are a draw of n.
LabelledPoints draw_labelled_points(const std::string& set, int64_t count, Generator& generator);

/// Their values alone, float32 [count, 2].
Tensor draw_points(const std::string& set, int64_t count, Generator& generator);

/// The number of labels of a set; 0: it has none.
int64_t point_set_labels(const std::string& set);

/// p(x, y), the density that points are drawn from. A closed form for eight-gaussians and checkerboard. For
/// two-moons and swiss-roll, a curve with normal noise, it is an integral along the curve, which
/// Gauss-Legendre quadrature gives with an error below 1e-6.
double point_density(const std::string& set, double x, double y);

/// Half the side of the square around 0 that holds all but 1e-6 of the points.
double point_set_extent(const std::string& set);

/// A normal distribution N((x, y), deviation^2 I), one of several that have the same probability.
struct PointMode {
  double x = 0, y = 0;
  double deviation = 0;
};

/// The normal distributions that a set is the mixture of: of eight-gaussians in the order of its labels.
/// Empty for the other sets.
std::vector<PointMode> point_set_modes(const std::string& set);

}  // namespace haze

#pragma once

#include <span>

#include "haze/tools/tasks/sample_set.h"

namespace haze {

/// W_2^2 of two sets of numbers, each with equal weights and sorted in ascending order. It is the integral
/// over u in [0, 1] of (F^-1(u) - G^-1(u))^2, exact for any two sizes. Throws Error where a set is empty.
double squared_wasserstein_of_sorted(std::span<const double> a, std::span<const double> b);

/// The sliced 2-Wasserstein distance: the root of the mean of W_2^2 between the projections of both sets,
/// over directions of the unit sphere. Sources: Rabin et al. 2011, "Wasserstein barycenter and its
/// application to texture mixing"; Bonneel et al. 2015, "Sliced and Radon Wasserstein barycenters of
/// measures", section 3.
///
/// In the plane the directions are `projections` angles that lie evenly in [0, pi). In other dimensions they
/// are drawn uniformly from a fixed seed, so that the distance is the same at every call. A set that is
/// shifted by v has the distance |v| / sqrt(dimensions) in one dimension, and in two with two or more
/// projections. In more dimensions its square is |v|^2 / dimensions only in expectation over the directions.
/// Throws Error as require_comparable(), and where projections < 1.
double sliced_wasserstein(const SampleSet& a, const SampleSet& b, int64_t projections = 128);

}  // namespace haze

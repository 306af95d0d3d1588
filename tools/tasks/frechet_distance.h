#pragma once

#include <cstdint>
#include <vector>

#include "haze/tools/tasks/sample_set.h"

namespace haze {

/// A normal distribution of n dimensions.
struct Gaussian {
  std::vector<double> mean;        // [n]
  std::vector<double> covariance;  // [n, n], row-major, symmetric
};

/// Mean and covariance of a set, the latter with count - 1. Throws Error where there are fewer than two
/// examples.
Gaussian fit_gaussian(const SampleSet& set);

/// The squared Frechet distance of two normal distributions: |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)).
/// Sources: Dowson and Landau 1982, "The Frechet distance between multivariate normal distributions"; Heusel
/// et al. 2017, arXiv 1706.08500, equation 6. The trace of the root is that of (A^(1/2) B A^(1/2))^(1/2),
/// which is symmetric. Of Gaussians fitted to the features of images by Inception-v3 it is called FID. Throws
/// Error where the dimensions differ, or a number is not finite.
double frechet_distance(const Gaussian& a, const Gaussian& b);

}  // namespace haze

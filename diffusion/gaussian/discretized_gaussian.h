#pragma once

#include "haze/autograd/ops.h"

namespace haze {

/// log(Phi(high) - Phi(low)) of the standard normal distribution function, low < high; either may be
/// infinite. Keeps its digits far out in both tails.
double log_normal_interval(double low, double high);

/// -log p of a level, and its derivatives.
struct DiscretizedGaussian {
  double nats, by_mean, by_log_variance;
};
/// The probability of the bin of x under N(mean, e^log_variance) (Ho et al. 2020, section 3.3, equation 13).
/// x is on one of `levels` levels, evenly from -1 to 1; between two of them it counts as the nearest. Bins
/// are 2 / (levels - 1) wide, and the first and the last are open. Throws Error where levels < 2.
DiscretizedGaussian discretized_gaussian(double x, double mean, double log_variance, int64_t levels);

/// -log p of each number in nats, shaped as x: `mean` has that shape, log_variance one that broadcasts to it.
/// Computed in float64 by operations on Variables, so it can be differentiated any number of times. Throws
/// Error where the shapes do not suit, or levels < 2.
Variable discretized_gaussian_nats(const Tensor& x, const Variable& mean, const Variable& log_variance,
                                   int64_t levels);

}  // namespace haze

#pragma once

#include <cmath>
#include <limits>
#include <numbers>

#include "haze/engine/host_device.h"

/// Functions of float64 that the C library has not, in the family of the error function. Within a few units
/// in the last place.
namespace haze {

/// e^(x^2) erfc(x).
HAZE_HOST_DEVICE inline double erfcx(double x) {
  if (x < -27) return std::numeric_limits<double>::infinity();
  if (x < 25) {
    const double square = x * x;
    return std::exp(square) * (1 + std::fma(x, x, -square)) * std::erfc(x);  // erfc is 0 from 27 on
  }
  // 1 - 1/(2 x^2) (1 - 3/(2 x^2) (1 - 5/(2 x^2) (...))), over x sqrt(pi)
  double sum = 1;
  for (int k = 10; k > 0; --k) sum = 1 - (2 * k - 1) / (2 * x) / x * sum;
  return sum / x * std::numbers::inv_sqrtpi;
}

/// The y with erf(y) = x; infinite at -1 and 1, NaN outside. By Halley's method from the approximation of
/// Winitzki (2008), which is 0.2% off.
HAZE_HOST_DEVICE inline double erfinv(double x) {
  const double magnitude = std::abs(x), rest = 1 - magnitude;
  if (magnitude == 1) return std::copysign(std::numeric_limits<double>::infinity(), x);
  if (!(magnitude < 1)) return std::numeric_limits<double>::quiet_NaN();
  constexpr double kA = 0.147;
  const double log = std::log1p(-magnitude * magnitude), t = 2 / (std::numbers::pi * kA) + log / 2;
  double y = std::sqrt(std::sqrt(t * t - log / kA) - t);
  for (int i = 0; i < 2; ++i) {
    const double off = magnitude < 0.5 ? std::erf(y) - magnitude : rest - std::erfc(y);
    const double step = off * std::exp(y * y) / (2 * std::numbers::inv_sqrtpi);
    y -= step / (1 + y * step);
  }
  return std::copysign(y, x);
}

/// log Phi(x), Phi the distribution function of the standard normal distribution.
HAZE_HOST_DEVICE inline double log_ndtr(double x) {
  const double square = x * x / 2, scaled = erfcx(std::abs(x) / std::numbers::sqrt2) / 2;
  if (x < 0) return std::log(scaled) - square;
  if (x > 40) return -0.0;  // the other tail is below the smallest double
  const double rounded_off = std::fma(x / 2, x, -square);
  return std::log1p(-scaled * std::exp(-square) * (1 - rounded_off));
}

}  // namespace haze

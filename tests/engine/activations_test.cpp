#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity(),
                 kNan = std::numeric_limits<double>::quiet_NaN();

// Phi and phi with the eleven more bits that long double has at least where this is tried.
long double cdf(long double x) {
  return 0.5L * std::erfc(-x * (std::numbers::sqrt2_v<long double> / 2));
}

long double density(long double x) {
  return std::exp(-x * x / 2) * std::numbers::inv_sqrtpi_v<long double> / std::numbers::sqrt2_v<long double>;
}

std::vector<double> from_to(double first, double last, double step) {
  std::vector<double> x;
  for (double v = first; v <= last; v += step) x.push_back(v);
  return x;
}

double in_units(double got, long double exact, long double size) {
  return static_cast<double>(std::abs(got - exact) /
                             (std::abs(size) * std::numeric_limits<double>::epsilon()));
}

Tensor slope(BinaryOp op, const Tensor& x) {
  return binary(op, x, ones_like(x));
}

}  // namespace

TEST_CASE("gelu at -5.5 in float32 is -1.0444e-7, where 1 + erf would have lost all its digits") {
  const Tensor x = Tensor::from<float>({-5.5f, -6.0f, -9.0f}, {3});
  const std::vector<double> got = unary(UnaryOp::gelu, x).to_vector<double>();
  const double exact[] = {-1.0444259356238246e-7, -5.9195258702258862e-9, -1.0157295685384566e-18};
  for (size_t i = 0; i < 3; ++i) CHECK(std::abs(got[i] / exact[i] - 1) < 0x1p-23);
}

TEST_CASE(
    "gelu in float64 is within 4 units in the last place from -37 to 9, and its slope of its larger term") {
  if (std::numeric_limits<long double>::digits < 64) {
    MESSAGE("skipped: long double has no more digits than double here");
    return;
  }
  const std::vector<double> x = from_to(-37, 9, 0.00317);
  const Tensor values = Tensor::from(x, {static_cast<int64_t>(x.size())});
  const std::vector<double> y = unary(UnaryOp::gelu, values).to_vector<double>();
  const std::vector<double> dy = slope(BinaryOp::gelu_gradient, values).to_vector<double>();
  double worst = 0, worst_slope = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const long double first = cdf(x[i]), second = x[i] * density(x[i]);
    worst = std::max(worst, in_units(y[i], x[i] * first, x[i] * first));
    worst_slope = std::max(worst_slope, in_units(dy[i], first + second, std::max(first, std::abs(second))));
  }
  MESSAGE("off by ", worst, " and ", worst_slope, " units");
  CHECK(worst <= 4);
  CHECK(worst_slope <= 4);
}

TEST_CASE("activations and their slopes in float64 give the limits at infinities and NaN") {
  const Tensor x = Tensor::from<double>({kInfinity, -kInfinity, kNan}, {3});
  for (UnaryOp op : {UnaryOp::softplus, UnaryOp::relu, UnaryOp::gelu, UnaryOp::gelu_tanh, UnaryOp::silu}) {
    CAPTURE(name(op));
    const std::vector<double> y = unary(op, x).to_vector<double>();
    CHECK(y[0] == kInfinity);
    CHECK(y[1] == 0);
    CHECK(std::isnan(y[2]));
  }
  for (BinaryOp op : {BinaryOp::gelu_gradient, BinaryOp::gelu_tanh_gradient, BinaryOp::silu_gradient}) {
    CAPTURE(name(op));
    const std::vector<double> dy = slope(op, x).to_vector<double>();
    CHECK(dy[0] == 1);
    CHECK(dy[1] == 0);
    CHECK(std::isnan(dy[2]));
  }
}

TEST_CASE("clamp with a above b gives b, as min(max(x, a), b) does, and NaN for NaN") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    const Tensor x = cast(Tensor::from<double>({-1, 2.5, 9, kNan}, {4}), dtype);
    const std::vector<double> y = unary(UnaryOp::clamp, x, 3, 2).to_vector<double>();
    for (size_t i = 0; i < 3; ++i) CHECK(y[i] == 2);
    CHECK(std::isnan(y[3]));
  }
}

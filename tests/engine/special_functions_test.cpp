#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

namespace {

using Wide = long double;

constexpr Wide kSqrtPi = 1 / std::numbers::inv_sqrtpi_v<Wide>;
constexpr Wide kSqrtHalf = 1 / std::numbers::sqrt2_v<Wide>;

std::vector<double> between(double low, double high, int count) {
  std::vector<double> result;
  for (int i = 0; i <= count; ++i) result.push_back(low + (high - low) * i / count);
  return result;
}

/// The largest difference to `exact` on float32, in units of the last place of the exact value.
template <typename Exact>
double worst_units(UnaryOp op, const std::vector<double>& at, Exact&& exact) {
  const Tensor x = cast(Tensor::from(at, {static_cast<int64_t>(at.size())}), Dtype::float32);
  const std::vector<double> taken = x.to_vector<double>(), got = unary(op, x).to_vector<double>();
  double worst = 0;
  for (size_t i = 0; i < taken.size(); ++i) {
    const double want = static_cast<double>(exact(static_cast<Wide>(taken[i])));
    const double unit = std::max(std::ldexp(1.0, std::ilogb(want) - 23), 0x1p-149);
    worst = std::max(worst, std::abs(got[i] - want) / unit);
  }
  return worst;
}

Wide exact_log_ndtr(Wide x) {
  const Wide tail = std::erfc(std::abs(x) * kSqrtHalf) / 2;
  return x < 0 ? std::log(tail) : std::log1p(-tail);
}

}  // namespace

TEST_CASE("erfcx is within 4 units in the last place, over its whole range") {
  const auto exact = [](Wide x) { return std::exp(x * x) * std::erfc(x); };
  CHECK(worst_units(UnaryOp::erfcx, between(-9.3, 5, 100'000), exact) < 4);
  CHECK(worst_units(UnaryOp::erfcx, between(5, 100, 10'000), exact) < 4);
  for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
    // erfcx(x) -> 1 / (x sqrt(pi))
    CHECK(unary(UnaryOp::erfcx, full({}, 1e20, dtype)).item() * 1e20 * static_cast<double>(kSqrtPi) ==
          doctest::Approx(1).epsilon(1e-6));
    CHECK(unary(UnaryOp::erfcx, full({}, -30, dtype)).item() == std::numeric_limits<double>::infinity());
  }
}

TEST_CASE("erfinv is the inverse of erf, within 4 units in the last place") {
  // x = 1 - 2^-k has no rounding; its y is where erfc(y) = 2^-k.
  for (int k = 2; k <= 24; ++k) {
    const double y = unary(UnaryOp::erfinv, full({}, 1 - std::ldexp(1.0, -k), Dtype::float32)).item();
    const double slope = 2 * y * y + 1;  // erfc(y (1 + u)) is erfc(y) (1 - slope u) or nearer
    CHECK(std::erfc(y) == doctest::Approx(std::ldexp(1.0, -k)).epsilon(4 * 0x1p-23 * slope));
  }
  for (int k = 2; k <= 52; ++k) {
    const double y = unary(UnaryOp::erfinv, full({}, std::ldexp(1.0, -k) - 1, Dtype::float64)).item();
    CHECK(std::erfc(-y) == doctest::Approx(std::ldexp(1.0, -k)).epsilon(1e-13));
  }
  for (const double x : {1e-30, -1e-8, 3e-4}) {  // sqrt(pi)/2 (x + pi/12 x^3 + ...)
    const double series = static_cast<double>(kSqrtPi) / 2 * (x + std::numbers::pi / 12 * x * x * x);
    CHECK(unary(UnaryOp::erfinv, full({}, x, Dtype::float64)).item() ==
          doctest::Approx(series).epsilon(1e-14));
  }
}

TEST_CASE("log_ndtr is within 6 units in the last place in both tails, where log(Phi(x)) is not") {
  CHECK(worst_units(UnaryOp::log_ndtr, between(-100, -3, 20'000), exact_log_ndtr) < 6);
  CHECK(worst_units(UnaryOp::log_ndtr, between(-3, 3, 100'000), exact_log_ndtr) < 6);
  CHECK(worst_units(UnaryOp::log_ndtr, between(3, 13, 20'000), exact_log_ndtr) < 6);
  CHECK(unary(UnaryOp::log_ndtr, full({}, -1e4)).item() == doctest::Approx(-5e7 - std::log(1e4) - 0.9189385));
  CHECK(unary(UnaryOp::log_ndtr, full({}, 0, Dtype::float64)).item() == doctest::Approx(-std::log(2)));
}

#include "haze/engine/cpu/simd/sine_cosine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

namespace haze {
namespace {

struct Pair {
  std::vector<double> cosines, sines;
};

Pair of(double x, const std::vector<double>& frequencies) {
  Pair result{std::vector<double>(frequencies.size()), std::vector<double>(frequencies.size())};
  sines_and_cosines(x, frequencies, result.cosines, result.sines);
  return result;
}

}  // namespace

TEST_CASE(
    "sines and cosines agree with the standard library's in every quadrant, to a unit in the last place of "
    "1") {
  std::vector<double> frequencies;
  for (int i = -500; i <= 500; ++i) frequencies.push_back(i / 500.0);
  double largest = 0;
  for (const double x :
       {0.0, 0.01, 0.7, 1.5707963267948966, 3.0, -10.0, 100.3, 999.9, -4096.0, 1e6, 1048576.0, 3e6, -1e9}) {
    const Pair result = of(x, frequencies);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double angle = x * frequencies[i];
      largest = std::max({largest, std::abs(result.cosines[i] - std::cos(angle)),
                          std::abs(result.sines[i] - std::sin(angle))});
    }
  }
  CHECK(largest <= 2.3e-16);
}

TEST_CASE("sines and cosines of what is not finite are not numbers") {
  for (const double x : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    const Pair result = of(x, {1.0, 0.5});
    for (const size_t i : {0, 1}) {
      CHECK(std::isnan(result.cosines[i]));
      CHECK(std::isnan(result.sines[i]));
    }
  }
}

}  // namespace haze

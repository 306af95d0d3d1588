#include "haze/tools/tasks/sliced_wasserstein.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "error_of.h"
#include "sample_sets.h"

using namespace haze;
using namespace haze::testing;

TEST_CASE("W_2 of sorted numbers is the least of all pairings, over every permutation") {
  const std::vector<double> a{-1.5, 0.25, 0.5, 2, 7}, b{-3, -2.5, 1, 1.25, 4};
  std::vector<size_t> order{0, 1, 2, 3, 4};
  double least = 1e9;
  do {
    double cost = 0;
    for (size_t i = 0; i < a.size(); ++i) cost += (a[i] - b[order[i]]) * (a[i] - b[order[i]]) / 5;
    least = std::min(least, cost);
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(squared_wasserstein_of_sorted(a, b) == doctest::Approx(least).epsilon(1e-14));
}

TEST_CASE("W_2 of two and three numbers is the integral over six equal parts") {
  const std::vector<double> two{0, 1}, three{-1, 0.5, 3};
  // The quantile functions in sixths: 0 0 0 1 1 1 and -1 -1 0.5 0.5 3 3.
  const double expected = (1 + 1 + 0.25 + 0.25 + 4 + 4) / 6;
  CHECK(squared_wasserstein_of_sorted(two, three) == doctest::Approx(expected).epsilon(1e-14));
  CHECK(squared_wasserstein_of_sorted(three, two) == doctest::Approx(expected).epsilon(1e-14));
}

TEST_CASE("the sliced Wasserstein distance of a set to itself, and to a copy of every example, is 0") {
  for (const int64_t dimensions : {1, 2, 5}) {
    const SampleSet set = normal_set(40, dimensions, 3);
    SampleSet twice = set;
    twice.count *= 2;
    twice.values.insert(twice.values.end(), set.values.begin(), set.values.end());
    CHECK(sliced_wasserstein(set, set) == 0);
    CHECK(sliced_wasserstein(set, twice) < 1e-7);
  }
}

TEST_CASE("a set shifted by v has the sliced Wasserstein distance |v| / sqrt(dimensions)") {
  const SampleSet line = normal_set(30, 1, 5), plane = normal_set(30, 2, 5), space = normal_set(30, 20, 5);
  CHECK(sliced_wasserstein(line, moved(line, 1, 0.5)) == doctest::Approx(0.5).epsilon(1e-12));
  // Evenly spaced angles integrate cos^2 exactly; v is (0.5, 0.5).
  CHECK(sliced_wasserstein(plane, moved(plane, 1, 0.5), 3) == doctest::Approx(0.5).epsilon(1e-12));
  // v has the length 0.5 sqrt(20). (v . theta)^2 has the mean 0.25, and a relative deviation below sqrt(2)
  // over random directions, so that 4000 of them are within 4.5 % (4 standard errors).
  CHECK(sliced_wasserstein(space, moved(space, 1, 0.5), 4000) == doctest::Approx(0.5).epsilon(0.045));
}

TEST_CASE("a set scaled by c has the sliced Wasserstein distance |1 - c| sqrt(mean |x|^2 / 2) in the plane") {
  const SampleSet set = normal_set(50, 2, 7);
  double squares = 0;
  for (const double value : set.values) squares += value * value / 50;
  CHECK(sliced_wasserstein(set, moved(set, 1.75, 0)) ==
        doctest::Approx(0.75 * std::sqrt(squares / 2)).epsilon(1e-12));
}

TEST_CASE("two Gaussians have sliced W_2^2 = |m|^2 / 2 + (s - 1)^2 (5 standard errors)") {
  // N(0, I) and N(m, s^2 I): each projection is N(0, 1) and N(m . theta, s^2), whose W_2^2 is
  // (m . theta)^2 + (s - 1)^2.
  const SampleSet a = normal_set(20000, 2, 11), b = moved(normal_set(20000, 2, 12), 1.5, 0.4);
  const double expected = std::sqrt(0.4 * 0.4 + 0.5 * 0.5);
  // Eight angles integrate cos^2 exactly. A mean of 20000 numbers is off by 1 / sqrt(20000) = 0.007 in a and
  // 0.011 in b.
  CHECK(std::abs(sliced_wasserstein(a, b, 8) - expected) < 5 * 0.013);
}

TEST_CASE("the sliced Wasserstein distance is the same at every call, and symmetric") {
  const SampleSet a = normal_set(40, 6, 1), b = moved(normal_set(30, 6, 2), 2, 1);
  CHECK(sliced_wasserstein(a, b) == sliced_wasserstein(a, b));
  CHECK(sliced_wasserstein(a, b) == doctest::Approx(sliced_wasserstein(b, a)).epsilon(1e-13));
}

TEST_CASE("sets that cannot be compared are refused in a sentence") {
  CHECK(error_of([] { sliced_wasserstein(normal_set(3, 2, 1), normal_set(3, 3, 1)); }) ==
        "examples of 2 numbers cannot be compared with examples of 3");
  CHECK(error_of([] { sliced_wasserstein(normal_set(3, 2, 1), normal_set(3, 2, 1), 0); }) ==
        "the sliced Wasserstein distance needs at least one projection");
  CHECK(error_of([] { sliced_wasserstein({}, normal_set(3, 2, 1)); }) ==
        "a set of samples needs at least one example");
  CHECK(error_of([] {
          sample_set(Tensor::from({1.0F, std::nanf("")}, {1, 2}));
        }) == "a sample holds a number that is not finite");
  CHECK(error_of([] { sample_set(Tensor({0, 2})); }) == "a set of samples needs at least one example");
}

TEST_CASE("images are flattened to rows") {
  const SampleSet set =
      sample_set(Tensor::from({0.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F, 7.0F}, {2, 1, 2, 2}));
  CHECK(set.count == 2);
  CHECK(set.dimensions == 4);
  CHECK(std::vector<double>(set.row(1).begin(), set.row(1).end()) == std::vector<double>{4, 5, 6, 7});
}

#include "haze/tools/tasks/nearest_neighbours.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "error_of.h"
#include "sample_sets.h"

using namespace haze;
using namespace haze::testing;

namespace {

double squared_distance(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sum;
}

/// f(phi, Phi) of the paper's equation 1, point by point with a full sort.
double share_in_balls(const SampleSet& examples, const SampleSet& set, size_t k) {
  double inside = 0;
  for (int64_t i = 0; i < examples.count; ++i) {
    bool found = false;
    for (int64_t j = 0; j < set.count; ++j) {
      std::vector<double> squares;
      for (int64_t other = 0; other < set.count; ++other)
        squares.push_back(squared_distance(set.row(j), set.row(other)));
      std::sort(squares.begin(), squares.end());
      // The nearest of all is the example itself.
      found = found || squared_distance(examples.row(i), set.row(j)) <= squares[k];
    }
    inside += found;
  }
  return inside / static_cast<double>(examples.count);
}

}  // namespace

TEST_CASE("precision and recall of numbers on a line are those worked out by hand") {
  // Balls for k = 1: [0 - 1, 0 + 1], [1 - 1, 1 + 1], [3 - 2, 3 + 2] together are [-1, 5].
  const SampleSet real{3, 1, {0, 1, 3}};
  // Balls: 4 and 4.5 reach 0.5, 9 reaches 4.5: [3.5, 5] and [4.5, 13.5].
  const SampleSet generated{3, 1, {4, 4.5, 9}};
  const PrecisionRecall found = precision_recall(real, generated, 1);
  CHECK(found.precision == doctest::Approx(2.0 / 3));
  CHECK(found.recall == 0);
  // For k = 2 the balls of `generated` reach 5, 4.5 and 5: [-1, 14].
  CHECK(precision_recall(real, generated, 2).recall == 1);
}

TEST_CASE("precision and recall agree with equations 1 and 2 computed point by point") {
  for (const int64_t dimensions : {1, 2, 7}) {
    const SampleSet real = normal_set(30, dimensions, 1),
                    generated = moved(normal_set(25, dimensions, 2), 0.6, 0.5);
    for (const int64_t k : {1, 3}) {
      const PrecisionRecall found = precision_recall(real, generated, k);
      CHECK(found.precision == share_in_balls(generated, real, static_cast<size_t>(k)));
      CHECK(found.recall == share_in_balls(real, generated, static_cast<size_t>(k)));
    }
  }
}

TEST_CASE("equal sets have precision and recall 1, sets far apart have 0") {
  const SampleSet set = normal_set(20, 3, 4);
  CHECK(precision_recall(set, set).precision == 1);
  CHECK(precision_recall(set, set).recall == 1);
  CHECK(precision_recall(set, moved(set, 1, 100)).precision == 0);
  CHECK(precision_recall(set, moved(set, 1, 100)).recall == 0);
}

TEST_CASE("samples that are right and all alike have precision 1 and a recall below a tenth") {
  const SampleSet real = normal_set(200, 2, 5);
  const SampleSet narrow = moved(normal_set(200, 2, 6), 0.02, 0);
  const PrecisionRecall found = precision_recall(real, narrow);
  CHECK(found.precision > 0.99);
  CHECK(found.recall < 0.1);
}

TEST_CASE("sets without k neighbours are refused") {
  const SampleSet three = normal_set(3, 2, 1), four = normal_set(4, 2, 1);
  CHECK(error_of([&] { precision_recall(four, three); }) ==
        "3 nearest neighbours need sets of more than 3 examples");
  CHECK(error_of([&] { precision_recall(four, four, 0); }) == "k nearest neighbours are at least one");
  CHECK(error_of([&] { precision_recall(four, normal_set(4, 1, 1)); }) ==
        "examples of 2 numbers cannot be compared with examples of 1");
}

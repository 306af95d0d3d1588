#include "haze/tools/tasks/nearest_neighbours.h"

#include <algorithm>

#include "haze/engine/error.h"

namespace haze {
namespace {

/// Squared Euclidean distances to all examples of a set.
class Distances {
 public:
  explicit Distances(const SampleSet& set) : count_(static_cast<size_t>(set.count)), columns_(set.values) {
    for (int64_t i = 0; i < set.count; ++i) {
      for (int64_t d = 0; d < set.dimensions; ++d)
        columns_[static_cast<size_t>(d * set.count + i)] =
            set.values[static_cast<size_t>(i * set.dimensions + d)];
    }
  }

  // The loop inside runs over examples and not over dimensions: its sums are independent, and so it
  // vectorises.
  std::vector<double> from(std::span<const double> example) const {
    std::vector<double> squares(count_);
    for (size_t d = 0; d < example.size(); ++d) {
      const double* column = columns_.data() + d * count_;
      for (size_t i = 0; i < count_; ++i) squares[i] += (example[d] - column[i]) * (example[d] - column[i]);
    }
    return squares;
  }

 private:
  size_t count_;
  std::vector<double> columns_;  // [dimensions, count]
};

/// Of each example of a set the squared distance to its k-th nearest neighbour in the set.
std::vector<double> squared_radii(const SampleSet& set, const Distances& distances, int64_t k) {
  std::vector<double> radii;
  for (int64_t i = 0; i < set.count; ++i) {
    std::vector<double> squares = distances.from(set.row(i));
    squares.erase(squares.begin() + i);  // itself
    std::nth_element(squares.begin(), squares.begin() + (k - 1), squares.end());
    radii.push_back(squares[static_cast<size_t>(k - 1)]);
  }
  return radii;
}

/// The share of `examples` that lies in a ball of `set`.
double share_inside(const SampleSet& examples, const SampleSet& set, int64_t k) {
  const Distances distances(set);
  const std::vector<double> radii = squared_radii(set, distances, k);
  int64_t inside = 0;
  for (int64_t i = 0; i < examples.count; ++i) {
    const std::vector<double> squares = distances.from(examples.row(i));
    bool found = false;
    for (size_t ball = 0; ball < radii.size() && !found; ++ball) found = squares[ball] <= radii[ball];
    inside += found;
  }
  return static_cast<double>(inside) / static_cast<double>(examples.count);
}

}  // namespace

PrecisionRecall precision_recall(const SampleSet& real, const SampleSet& generated, int64_t k) {
  require_comparable(real, generated);
  if (k < 1) fail("k nearest neighbours are at least one");
  if (std::min(real.count, generated.count) <= k)
    fail("{} nearest neighbours need sets of more than {} examples", k, k);
  return {share_inside(generated, real, k), share_inside(real, generated, k)};
}

}  // namespace haze

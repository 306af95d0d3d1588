#include "haze/tools/tasks/sample_set.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/error.h"

namespace haze {

SampleSet sample_set(const Tensor& values) {
  if (values.rank() == 0 || values.elements() == 0) fail("a set of samples needs at least one example");
  const int64_t count = values.size(0);
  SampleSet set{count, values.elements() / count, values.to_vector<double>()};
  if (!std::all_of(set.values.begin(), set.values.end(), [](double x) { return std::isfinite(x); }))
    fail("a sample holds a number that is not finite");
  return set;
}

void require_comparable(const SampleSet& a, const SampleSet& b) {
  if (a.count == 0 || b.count == 0) fail("a set of samples needs at least one example");
  if (a.dimensions != b.dimensions) {
    fail("examples of {} numbers cannot be compared with examples of {}", a.dimensions, b.dimensions);
  }
}

}  // namespace haze

#include "haze/engine/ops/random_integers.h"

#include <limits>

#include "haze/engine/checks.h"

namespace haze {

Tensor random_integers(const Shape& shape, Generator& generator, int64_t low, int64_t high, Device device) {
  constexpr int64_t kLeast = std::numeric_limits<int32_t>::min(),
                    kLargest = std::numeric_limits<int32_t>::max();
  if (!(low < high && low >= kLeast && high <= kLargest + 1)) {
    fail("random_integers: from {} to below {} is no interval of int32", low, high);
  }
  Tensor result(shape, Dtype::int32, device);
  launch(
      call::RandomIntegers{generator.reserve(static_cast<uint64_t>(result.elements())), low, high, result});
  return result;
}

Tensor bernoulli(const Tensor& probability, Generator& generator) {
  check_floating("bernoulli", "probability", probability);
  Tensor result(probability.shape(), Dtype::uint8, probability.device());
  const auto counters = (static_cast<uint64_t>(result.elements()) + 1) / 2;
  launch(call::Bernoulli{contiguous(probability), generator.reserve(counters), result});
  return result;
}

Tensor poisson(const Tensor& rate, Generator& generator) {
  check_floating("poisson", "rate", rate);
  Tensor result(rate.shape(), Dtype::int32, rate.device());
  const auto counters = call::Poisson::kTrials * static_cast<uint64_t>(result.elements());
  launch(call::Poisson{contiguous(rate), generator.reserve(counters), result});
  return result;
}

}  // namespace haze

#include "haze/engine/ops/random.h"

#include <cmath>
#include <limits>

#include "haze/engine/checks.h"

namespace haze {
namespace {

// Counters for that many elements of uniform or normal: one 32-bit word for a float32, two for a float64.
uint64_t counters(const Tensor& x) {
  const uint64_t words = static_cast<uint64_t>(x.elements()) * (size_of(x.dtype()) / 4);
  return (words + 3) / 4;
}

void check_counter(const char* operation, const Tensor& counter) {
  check_dtype(operation, "counter", counter, Dtype::int32);
  check_shape(operation, "counter", counter, {2});
}

}  // namespace

Tensor base_operand(const RandomPosition& position) {
  const Storage& base = position.base;
  if (!base) return Tensor();
  return Tensor(base, {2}, {1}, 0, Dtype::int32, base.device());
}

Tensor random_counter(uint64_t value, Device device) {
  const auto lower = static_cast<int32_t>(value), upper = static_cast<int32_t>(value >> 32);
  return Tensor::from<int32_t>({lower, upper}, {2}, device);
}

void advance_counter(const Tensor& counter, uint64_t by) {
  check_counter("advance_counter", counter);
  check_contiguous("advance_counter", "the counter", counter);
  launch(call::AdvanceCounter{counter, by});
}

Storage random_base(const Tensor& counter) {
  check_counter("random_base", counter);
  if (!counter.is_contiguous() || counter.offset() != 0) {
    fail("random_base: the counter must be dense and at the beginning of its storage");
  }
  return counter.storage();
}

Tensor uniform(const Shape& shape, Generator& generator, double low, double high, Dtype dtype,
               Device device) {
  Tensor result(shape, dtype, device);
  check_real("uniform", "dtype", result);
  const double largest =
      dtype == Dtype::float32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  if (!(low < high && low >= -largest && high <= largest && high - low <= largest)) {
    fail("uniform: from {} to {} is no interval of {}", low, high, name(dtype));
  }
  launch(call::Uniform{generator.reserve(counters(result)), low, high, result});
  return result;
}

Tensor normal(const Shape& shape, Generator& generator, double mean, double standard_deviation, Dtype dtype,
              Device device) {
  Tensor result(shape, dtype, device);
  check_real("normal", "dtype", result);
  if (!std::isfinite(mean)) fail("normal: the mean is {}, it takes a finite number", mean);
  if (!(std::isfinite(standard_deviation) && standard_deviation >= 0)) {
    fail("normal: the standard deviation is {}, it takes a finite number of 0 or more", standard_deviation);
  }
  launch(call::Normal{generator.reserve(counters(result)), mean, standard_deviation, result});
  return result;
}

}  // namespace haze

#include "haze/nn/hyperparameters.h"

#include <cmath>
#include <limits>

#include "haze/engine/error.h"

namespace haze {
namespace {

Dtype working_dtype(Dtype dtype) {
  return dtype == Dtype::float64 ? Dtype::float64 : Dtype::float32;
}

/// The value as the dtype holds it.
double converted(double value, Dtype dtype) {
  if (working_dtype(dtype) == Dtype::float64) return value;
  // A larger value has no conversion that the language defines.
  if (value > std::numeric_limits<float>::max()) return std::numeric_limits<double>::infinity();
  return static_cast<double>(static_cast<float>(value));
}

[[noreturn]] void fail_to_convert(double value, std::string_view what, Dtype dtype, std::string_view result) {
  fail("{} {} is {} in {}", what, value, result, name(working_dtype(dtype)));
}

}  // namespace

void check_not_negative(double value, std::string_view what, Dtype dtype) {
  if (!(value >= 0) || !std::isfinite(value)) {
    fail("{} must be finite and not negative, got {}", what, value);
  }
  const double used = converted(value, dtype);
  if (!std::isfinite(used)) fail_to_convert(value, what, dtype, "infinite");
  if (value > 0 && used == 0) fail_to_convert(value, what, dtype, "0");
}

void check_fraction(double value, std::string_view what, Dtype dtype) {
  if (!(value >= 0 && value < 1)) fail("{} must lie in [0, 1), got {}", what, value);
  check_not_negative(value, what, dtype);
  if (converted(value, dtype) == 1) fail_to_convert(value, what, dtype, "1");
}

void check_denominator(double value, std::string_view what, Dtype dtype) {
  if (!(value > 0)) fail("{} must be positive, got {}", what, value);
  const bool is_double = working_dtype(dtype) == Dtype::float64;
  if (is_double && value < std::numeric_limits<double>::min()) {
    fail("{} {} is below the smallest normal number of float64, {}", what, value,
         std::numeric_limits<double>::min());
  }
  if (!is_double && value < std::numeric_limits<float>::min()) {
    fail("{} {} is below the smallest normal number of float32, {}", what, value,
         std::numeric_limits<float>::min());
  }
  check_not_negative(value, what, dtype);
}

void check_weight_decay(double value, std::string_view what, Dtype dtype) {
  check_not_negative(value, what, dtype);
  if (value > 0 && converted(1 - value, dtype) == 1) {
    fail("{} {} decays nothing in {}, where 1 - {} is 1", what, value, name(working_dtype(dtype)), value);
  }
}

}  // namespace haze

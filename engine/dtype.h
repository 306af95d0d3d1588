#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "haze/engine/error.h"
#include "haze/engine/host_device.h"

namespace haze {

/// Element types. float32 is for work and float64 for checking gradients. bfloat16 takes half the memory; its
/// operations compute in float32 and round once, at the end. int32 is for tokens, uint8 for masks (0 or 1).
enum class Dtype : uint8_t { float32, float64, bfloat16, int32, uint8 };

/// The upper half of a float32; converts by rounding to nearest even, once from float64 too.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  HAZE_HOST_DEVICE explicit bfloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((u >> 16) | 0x40u)
                  : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  HAZE_HOST_DEVICE explicit bfloat16(double value) : bfloat16(rounded_to_odd(value)) {}
  HAZE_HOST_DEVICE explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
  HAZE_HOST_DEVICE explicit operator double() const { return static_cast<float>(*this); }

 private:
  // The float nearest to `value` with a last bit of 1, or `value` itself where it is one. Rounding that again
  // gives what rounding `value` at once would: the last bit keeps it off the middle between two bfloat16.
  HAZE_HOST_DEVICE static float rounded_to_odd(double value) {
    const auto nearest = static_cast<float>(value);
    if (nearest == value || value != value) return nearest;
    const bool away_from_0 = std::abs(static_cast<double>(nearest)) > std::abs(value);
    return std::bit_cast<float>((std::bit_cast<uint32_t>(nearest) - (away_from_0 ? 1 : 0)) | 1u);
  }
};

/// As cast() converts: to floating dtypes by rounding to nearest even, once; to integers by truncation, a
/// number outside their range to the nearest inside, NaN to 0.
template <typename Y, typename X>
HAZE_HOST_DEVICE Y converted(X value) {
  if constexpr (std::is_same_v<X, Y>) {
    return value;
  } else if constexpr (std::is_same_v<X, bfloat16>) {
    return converted<Y>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<Y, bfloat16>) {
    // Integers through double, which holds them exactly.
    return bfloat16(static_cast<std::conditional_t<std::is_same_v<X, float>, float, double>>(value));
  } else if constexpr (std::is_integral_v<Y>) {
    const auto wide = static_cast<double>(value);
    if (wide != wide) return Y{0};
    constexpr auto kLeast = static_cast<double>(std::numeric_limits<Y>::min()),
                   kMost = static_cast<double>(std::numeric_limits<Y>::max());
    return static_cast<Y>(wide < kLeast ? kLeast : wide > kMost ? kMost : wide);
  } else {
    return static_cast<Y>(value);
  }
}

constexpr size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::float64:
      return 8;
    case Dtype::float32:
    case Dtype::int32:
      return 4;
    case Dtype::bfloat16:
      return 2;
    case Dtype::uint8:
      return 1;
  }
  return 0;
}

constexpr std::string_view name(Dtype dtype) {
  switch (dtype) {
    case Dtype::float32:
      return "float32";
    case Dtype::float64:
      return "float64";
    case Dtype::bfloat16:
      return "bfloat16";
    case Dtype::int32:
      return "int32";
    case Dtype::uint8:
      return "uint8";
  }
  return "unknown";
}

constexpr bool is_floating(Dtype dtype) {
  return dtype == Dtype::float32 || dtype == Dtype::float64 || dtype == Dtype::bfloat16;
}

/// What values of `dtype` are computed and added up in: float32 for bfloat16, which has too few digits for
/// sums, otherwise the same.
constexpr Dtype wide_dtype(Dtype dtype) {
  return dtype == Dtype::bfloat16 ? Dtype::float32 : dtype;
}

template <typename T>
constexpr Dtype dtype_of();
template <>
constexpr Dtype dtype_of<float>() {
  return Dtype::float32;
}
template <>
constexpr Dtype dtype_of<double>() {
  return Dtype::float64;
}
template <>
constexpr Dtype dtype_of<bfloat16>() {
  return Dtype::bfloat16;
}
template <>
constexpr Dtype dtype_of<int32_t>() {
  return Dtype::int32;
}
template <>
constexpr Dtype dtype_of<uint8_t>() {
  return Dtype::uint8;
}

/// Calls `f` with a value of the C++ type behind `dtype`: `dispatch(dtype, [&](auto tag) { using T =
/// decltype(tag); })`.
template <typename F>
decltype(auto) dispatch(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::float32:
      return f(float{});
    case Dtype::float64:
      return f(double{});
    case Dtype::bfloat16:
      return f(bfloat16{});
    case Dtype::int32:
      return f(int32_t{});
    case Dtype::uint8:
      return f(uint8_t{});
  }
  fail("unknown dtype");
}

/// As dispatch, for kernels that compute: float32 and float64 only (the caller has checked the dtype).
template <typename F>
decltype(auto) dispatch_real(Dtype dtype, F&& f) {
  return dtype == Dtype::float64 ? f(double{}) : f(float{});
}

}  // namespace haze

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "haze/engine/error.h"

namespace haze {

/// Element types. float32 is for work, float64 for checking gradients, bfloat16 for storage and matrix
/// products (which accumulate in float32), int32 for tokens, uint8 for masks (0 or 1).
enum class Dtype : uint8_t { float32, float64, bfloat16, int32, uint8 };

/// The upper half of a float32; converts by rounding to nearest even.
struct bfloat16 {
  uint16_t bits = 0;

  bfloat16() = default;
  explicit bfloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    bits = is_nan ? static_cast<uint16_t>((u >> 16) | 0x40u)
                  : static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit operator float() const { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }
  explicit operator double() const { return static_cast<float>(*this); }
};

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

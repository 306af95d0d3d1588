#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "haze/engine/host_device.h"

/// Box and Muller 1958, "A note on the generation of random normal deviates". Two uniform numbers, u in (0,
/// 1] and v in [0, 1), make two normal ones: sqrt(-2 log u) cos(2 pi v) and sqrt(-2 log u) sin(2 pi v).
///
/// Logarithm, cosine and sine are polynomials. Every step is one IEEE operation (+, -, *, /, sqrt) or one on
/// integers, and none of them are fused. So the same words give the same bits on every device that follows
/// this order. Source files that include this are compiled without contraction (-ffp-contract=off; CUDA:
/// --fmad=false). cpu/simd/normal_span.cpp does the same steps on vectors. The tables of coefficients are
/// copied into the functions, since nvcc gives kernels no address of a class's constants.
namespace haze {

/// Coefficients, lowest first: minimax polynomials in relative error, by Remez' exchange in 60 digits.
template <typename T>
struct BoxMullerConstants;

template <>
struct BoxMullerConstants<float> {
  // log(1 + f) = 2 s + s R(s^2), s = f / (2 + f), with R(z) = z times this.
  static constexpr std::array<float, 3> kLog = {0.666667764f, 0.399775370f, 0.298718623f};
  // sin(2 pi t) = t (2 pi + t^2 times this of t^2), |t| <= 1/8.
  static constexpr std::array<float, 3> kSin = {-41.3416723f, 81.5937668f, -75.4456034f};
  // cos(2 pi t) = 1 + t^2 times this of t^2.
  static constexpr std::array<float, 4> kCos = {-19.7392087f, 64.9393218f, -85.4432363f, 59.2292441f};
  // Sums of two: the upper half of log 2 has few bits, so that its product with an exponent is exact.
  static constexpr float kLog2Upper = 0x1.62e4p-1f, kLog2Lower = 1.42860682e-6f;
  static constexpr float kTwoPiUpper = 6.28318531f, kTwoPiLower = -1.74845560e-7f;
  static constexpr int kFractionBits = 23;
  static constexpr uint32_t kRootHalf = 0x3f3504f3;  // the bits of sqrt(1/2)
  static constexpr uint32_t kUsedBits = 0xffffff00;  // of the word that makes v
  static constexpr float kUlpOfWords = 0x1p-32f;
};

template <>
struct BoxMullerConstants<double> {
  static constexpr std::array<double, 7> kLog = {
      0.66666666666667344603, 0.39999999999414321073, 0.285714287424748767,  0.22222198563486190786,
      0.18183564866615653498, 0.15314035837081649173, 0.14796105420281009185};
  static constexpr std::array<double, 6> kSin = {-41.341702240399671092, 81.605249275965232359,
                                                 -76.705859707905623336, 42.058685394064179416,
                                                 -15.0938227611259397,   3.7812242182932485828};
  static constexpr std::array<double, 7> kCos = {
      -19.739208802178717044, 64.93939402266798474,  -85.45681720652828249, 60.244641329385761239,
      -26.426250927316452393, 7.9030915914129900401, -1.6968347594092145214};
  static constexpr double kLog2Upper = 0x1.62e42feep-1, kLog2Lower = 1.90821492927058770002e-10;
  static constexpr double kTwoPiUpper = 6.283185307179586232, kTwoPiLower = 2.449293598294706414e-16;
  static constexpr int kFractionBits = 52;
  static constexpr uint64_t kRootHalf = 0x3fe6a09e667f3bcd;
  static constexpr uint64_t kUsedBits = 0xfffffffffffff800;
  static constexpr double kUlpOfWords = 0x1p-64;
};

/// Unsigned integers as wide as T: the random bits that make one uniform number.
template <typename T>
using RandomBits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;

/// Horner's rule; coefficients from the constant term up.
template <typename T, size_t N>
HAZE_HOST_DEVICE inline T box_muller_polynomial(const std::array<T, N>& coefficients, T z) {
  T sum = coefficients[N - 1];
  for (size_t i = N - 1; i-- > 0;) sum = sum * z + coefficients[i];
  return sum;
}

/// u = (bits + 1/2) / 2^32 rounded once, so that all 32 bits make the tail of the distribution.
HAZE_HOST_DEVICE inline float box_muller_unit(uint32_t bits) {
  const auto upper = static_cast<float>(static_cast<int32_t>(bits >> 16));
  const auto lower = static_cast<float>(static_cast<int32_t>(bits & 0xffff));
  return upper * 0x1p-16f + (lower * 0x1p-32f + 0x1p-33f);
}
/// u = 1 - (53 bits) / 2^53, exact.
HAZE_HOST_DEVICE inline double box_muller_unit(uint64_t bits) {
  return 1 - static_cast<double>(static_cast<int64_t>(bits >> 11)) * 0x1p-53;
}

/// -log u for u in (0, 1]. u = 2^k (1 + f), where 1 + f lies between sqrt(1/2) and sqrt(2). The large term of
/// log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), f, is exact.
template <typename T>
HAZE_HOST_DEVICE inline T box_muller_minus_log(T u) {
  using Constants = BoxMullerConstants<T>;
  using Bits = RandomBits<T>;
  using Signed = std::make_signed_t<Bits>;
  constexpr auto kLog = Constants::kLog;
  const Bits bits = std::bit_cast<Bits>(u);
  const Signed whole = static_cast<Signed>(bits - Constants::kRootHalf) >> Constants::kFractionBits;
  const T k = static_cast<T>(whole);
  const T f = std::bit_cast<T>(bits - (static_cast<Bits>(whole) << Constants::kFractionBits)) - 1;
  const T s = f / (2 + f), z = s * s;
  const T r = z * box_muller_polynomial(kLog, z);
  const T half_square = T{0.5} * f * f;
  const T small = s * (half_square + r) + k * Constants::kLog2Lower;
  return ((half_square - small) - f) - k * Constants::kLog2Upper;
}

template <typename T>
struct NormalPair {
  T first, second;
};

/// cos(2 pi v) and sin(2 pi v). v = q/4 + t with q whole and |t| <= 1/8, exactly; `turned` has q in its two
/// upper bits. Quarter turns exchange the functions and change their signs.
template <typename T>
HAZE_HOST_DEVICE inline NormalPair<T> box_muller_cos_sin(RandomBits<T> bits) {
  using Constants = BoxMullerConstants<T>;
  using Bits = RandomBits<T>;
  constexpr auto kSin = Constants::kSin;
  constexpr auto kCos = Constants::kCos;
  constexpr Bits kQuarter = Bits{1} << (8 * sizeof(T) - 2), kEighth = kQuarter / 2, kHalf = 2 * kQuarter;
  const Bits turned = (bits & Constants::kUsedBits) + kEighth;
  const auto steps = static_cast<std::make_signed_t<Bits>>((turned & (kQuarter - 1)) - kEighth);
  const T t = static_cast<T>(steps) * Constants::kUlpOfWords, z = t * t;
  const T small = Constants::kTwoPiLower + z * box_muller_polynomial(kSin, z);
  const T sin = t * Constants::kTwoPiUpper + t * small;
  const T cos = 1 + z * box_muller_polynomial(kCos, z);
  const bool exchange = (turned & kQuarter) != 0;
  const Bits cos_bits = std::bit_cast<Bits>(exchange ? sin : cos) ^ ((turned + kQuarter) & kHalf);
  const Bits sin_bits = std::bit_cast<Bits>(exchange ? cos : sin) ^ (turned & kHalf);
  return {std::bit_cast<T>(cos_bits), std::bit_cast<T>(sin_bits)};
}

/// mean + deviation times the two normal numbers that the bits of u and v make.
template <typename T>
HAZE_HOST_DEVICE inline NormalPair<T> box_muller(RandomBits<T> u, RandomBits<T> v, T mean, T deviation) {
  const T minus_log = box_muller_minus_log(box_muller_unit(u));
  const T radius = deviation * std::sqrt(minus_log + minus_log);
  const NormalPair<T> angle = box_muller_cos_sin<T>(v);
  return {mean + radius * angle.first, mean + radius * angle.second};
}

}  // namespace haze

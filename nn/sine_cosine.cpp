#include "haze/nn/sine_cosine.h"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace haze {
namespace {

// For |y| <= pi/4, by the minimax polynomials of FreeBSD's libm (k_sin.c, k_cos.c).
double sine_near_zero(double y) {
  const double z = y * y;
  const double tail = 8.33333333332248946124e-03 +
                      z * (-1.98412698298579493134e-04 +
                           z * (2.75573137070700676789e-06 +
                                z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)));
  return y + y * z * (-1.66666666666666324348e-01 + z * tail);
}

double cosine_near_zero(double y) {
  const double z = y * y;
  const double tail = 4.16666666666666019037e-02 +
                      z * (-1.38888888888741095749e-03 +
                           z * (2.48015872894767294178e-05 +
                                z * (-2.75573143513906633035e-07 +
                                     z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))));
  return 1 - z * (0.5 - z * tail);
}

double with_sign(double x, uint64_t sign_bit) {
  return std::bit_cast<double>(std::bit_cast<uint64_t>(x) ^ sign_bit);
}

// Beyond, multiples of kFirst are no longer exact.
constexpr double kLargest = 1 << 20;

}  // namespace

void sines_and_cosines(double x, std::span<const double> frequencies, std::span<double> cosines,
                       std::span<double> sines) {
  if (!(std::abs(x) <= kLargest)) {
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      cosines[i] = std::cos(x * frequencies[i]);
      sines[i] = std::sin(x * frequencies[i]);
    }
    return;
  }
  // pi/2 in three parts of 33 bits, so that k times each of the first two is exact (Cody and Waite 1980).
  constexpr double kFirst = 1.57079632673412561417e+00, kSecond = 6.07710050630396597660e-11,
                   kThird = 2.02226624871116645580e-21;
  // Adding it leaves the nearest whole number in the last bits.
  constexpr double kRounding = 0x1.8p52;
  const double* f = frequencies.data();
  double *c = cosines.data(), *s = sines.data();
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = x * f[i];
    const double shifted = angle * (2 / 3.14159265358979323846) + kRounding;
    const double k = shifted - kRounding;
    const double y = ((angle - k * kFirst) - k * kSecond) - k * kThird;
    const double sine = sine_near_zero(y), cosine = cosine_near_zero(y);
    // A quarter turn swaps the two and half a turn changes signs. Masks, since a branch is not vectorised.
    const uint64_t quarter = std::bit_cast<uint64_t>(shifted);
    const uint64_t swap = 0 - (quarter & 1);
    const uint64_t difference = (std::bit_cast<uint64_t>(sine) ^ std::bit_cast<uint64_t>(cosine)) & swap;
    s[i] = with_sign(sine, difference ^ ((quarter & 2) << 62));
    c[i] = with_sign(cosine, difference ^ (((quarter + 1) & 2) << 62));
  }
}

}  // namespace haze

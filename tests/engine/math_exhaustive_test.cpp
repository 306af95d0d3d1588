#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <mutex>
#include <numbers>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/simd/spans.h"

#include "engine/targets.h"

using namespace haze;
using namespace haze::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(),
                kNan = std::numeric_limits<float>::quiet_NaN();

// Every how manyth float is tried: all of them where the compiler optimises and the reference is quick.
#ifdef NDEBUG
constexpr uint64_t kVectorStride = 1, kActivationStride = 31, kBaselineStride = 61;
#else
constexpr uint64_t kVectorStride = 1009, kActivationStride = 1009, kBaselineStride = 10007;
#endif
constexpr uint64_t kFloats = uint64_t{1} << 32;

float float_of(uint64_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

// Writes f(x) to out.
using Span = std::function<void(const float* x, float* out, int64_t count)>;

// A function, its value in float64, and where it is so flat that all floats of a block must give the same.
struct Function {
  std::string name;
  Span (*span)();  // for the instruction set that is chosen now
  double (*exact)(double x);
  // What f(x) rounds to for all x of one sign with magnitudes from `least` to `most`, if it is one number.
  std::optional<double> (*constant)(bool negative, double least, double most);
  // f(x) should be factor x for |x| < 2^-26. Where it is, that is all there is to see.
  std::optional<float> factor = std::nullopt;
  double units = 2;  // how far off it may be, in units in the last place of `size`
  // What the error is measured against: f(x), or the larger term of a sum that has a root.
  double (*size)(double x, double value) = [](double, double value) { return value; };
};

double exact_tanh(double x) {
  return std::abs(x) < 0x1p-12 ? x - x * x * x / 3 : std::tanh(x);
}

double exact_erf(double x) {
  if (std::abs(x) >= 0x1p-12) return std::erf(x);
  return 2 * std::numbers::inv_sqrtpi * (x - x * x * x / 3);
}

std::optional<double> constant_exp(bool negative, double least, double most) {
  if (most < 0x1p-26) return 1;
  if (least > 104) return negative ? 0 : kInfinity;
  return std::nullopt;
}

std::optional<double> sign_from_10(bool negative, double least, double) {
  if (least > 10) return negative ? -1 : 1;
  return std::nullopt;
}

std::optional<double> constant_log(bool negative, double least, double) {
  if (negative && least > 0) return kNan;
  return std::nullopt;
}

constexpr double kDensityAt0 = std::numbers::inv_sqrtpi / std::numbers::sqrt2;  // of the normal distribution
constexpr double kNormalEnd = 14.8;  // from here on x Phi(-x) and its slope round to 0

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

double exact_gelu(double x) {
  if (std::abs(x) < 0x1p-12) return x * (0.5 + x * kDensityAt0 * (1 - x * x / 6));
  return x > kNormalEnd ? x : std::max(x, -40.0) * normal_cdf(x);
}

double exact_gelu_slope(double x) {
  if (std::abs(x) < 0x1p-12) return 0.5 + 2 * x * kDensityAt0 * (1 - x * x / 3);
  const double near = std::clamp(x, -40.0, 40.0);
  return normal_cdf(near) + near * kDensityAt0 * std::exp(-near * near / 2);
}

std::optional<double> constant_gelu(bool negative, double least, double) {
  if (negative && least > kNormalEnd) return 0;
  return std::nullopt;
}

std::optional<double> constant_gelu_slope(bool negative, double least, double most) {
  if (most < 0x1p-26) return 0.5;
  if (least > kNormalEnd) return negative ? 0 : 1;
  return std::nullopt;
}

double exact_sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

double exact_softplus(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

double exact_silu(double x) {
  return x > 40 ? x : std::max(x, -1e3) * exact_sigmoid(x);
}

// Where sigmoid is subnormal, x times its last place.
double silu_size(double x, double value) {
  return std::max(std::abs(value), std::min(std::abs(x), 1e3) * 0x1p-126);
}

// sigmoid's slope, s (1 - s).
double exact_sigmoid_slope(double x) {
  return exact_sigmoid(x) * exact_sigmoid(-x);
}

double exact_silu_slope(double x) {
  const double near = std::clamp(x, -1e3, 1e3);
  return exact_sigmoid(near) + near * exact_sigmoid_slope(near);
}

double silu_slope_size(double x, double) {
  const double near = std::clamp(x, -1e3, 1e3);
  return std::max(exact_sigmoid(near), silu_size(near, near * exact_sigmoid_slope(near)));
}

constexpr double kTwoSqrtTwoOverPi = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi, kCubic = 0.044715;

// v of gelu_tanh(x) = x sigmoid(v), and its slope.
double gelu_tanh_gate(double x) {
  return kTwoSqrtTwoOverPi * (x + kCubic * x * x * x);
}

double gelu_tanh_gate_slope(double x) {
  return kTwoSqrtTwoOverPi * (1 + 3 * kCubic * x * x);
}

double exact_gelu_tanh(double x) {
  if (x > kNormalEnd) return x;
  return std::max(x, -1e3) * exact_sigmoid(gelu_tanh_gate(std::max(x, -1e3)));
}

double exact_gelu_tanh_slope(double x) {
  const double near = std::clamp(x, -1e3, 1e3), v = gelu_tanh_gate(near);
  return exact_sigmoid(v) + near * exact_sigmoid_slope(v) * gelu_tanh_gate_slope(near);
}

// v is rounded, which the exponential multiplies by |v|. Where e^v overflows, the result is 0 instead of at
// most 2^-117, which counts as one unit.
double gelu_tanh_size(double x, double value) {
  if (std::abs(value) < 0x1p-117) return 0x1p-117 * 0x1p23;
  return std::abs(value) * (1 + std::max(-gelu_tanh_gate(std::max(x, -20.0)), 0.0));
}

double gelu_tanh_slope_size(double x, double) {
  const double near = std::clamp(x, -1e3, 1e3), v = gelu_tanh_gate(near);
  const double second = std::abs(near) * exact_sigmoid_slope(v) * gelu_tanh_gate_slope(near);
  return gelu_tanh_size(near, std::max(exact_sigmoid(v), second));
}

// From -104 on downwards e^x rounds to 0, and from 18 on upwards sigmoid to 1.
std::optional<double> constant_sigmoid(bool negative, double least, double most) {
  if (most < 0x1p-26) return 0.5;
  if (negative && least > 104) return 0;
  if (!negative && least > 18) return 1;
  return std::nullopt;
}

std::optional<double> zero_far_below(bool negative, double least, double) {
  if (negative && least > 120) return 0;
  return std::nullopt;
}

std::optional<double> constant_softplus(bool negative, double least, double most) {
  if (most < 0x1p-26) return std::numbers::ln2;
  return zero_far_below(negative, least, most);
}

std::optional<double> constant_slope(bool negative, double least, double most) {
  if (most < 0x1p-26) return 0.5;
  if (least > 120) return negative ? 0 : 1;
  return std::nullopt;
}

template <UnaryOp kOp>
Span unary_span_of() {
  return [span = unary_span<float>(kOp)](const float* x, float* out, int64_t count) {
    span(x, out, count, 0, 0);
  };
}

template <BinaryOp kOp>
Span slope_span_of() {
  return [span = binary_span<float>(kOp)](const float* x, float* out, int64_t count) {
    const std::vector<float> ones(static_cast<size_t>(count), 1.0f);
    span(x, ones.data(), out, count);
  };
}

const Function kFunctions[] = {
    {"exp", unary_span_of<UnaryOp::exp>, [](double x) { return std::exp(x); }, constant_exp},
    {"tanh", unary_span_of<UnaryOp::tanh>, exact_tanh, sign_from_10, 1.0f},
    {"erf", unary_span_of<UnaryOp::erf>, exact_erf, sign_from_10},
    {"log", unary_span_of<UnaryOp::log>, [](double x) { return std::log(x); }, constant_log},
    {"gelu", unary_span_of<UnaryOp::gelu>, exact_gelu, constant_gelu, 0.5f},
    {"gelu's slope", slope_span_of<BinaryOp::gelu_gradient>, exact_gelu_slope, constant_gelu_slope}};

const Function kActivations[] = {
    {"sigmoid", unary_span_of<UnaryOp::sigmoid>, exact_sigmoid, constant_sigmoid},
    {"softplus", unary_span_of<UnaryOp::softplus>, exact_softplus, constant_softplus},
    {"silu", unary_span_of<UnaryOp::silu>, exact_silu, zero_far_below, 0.5f, 3, silu_size},
    {"silu's slope", slope_span_of<BinaryOp::silu_gradient>, exact_silu_slope, constant_slope, std::nullopt,
     4, silu_slope_size},
    {"gelu_tanh", unary_span_of<UnaryOp::gelu_tanh>, exact_gelu_tanh, zero_far_below, 0.5f, 3.5,
     gelu_tanh_size},
    {"gelu_tanh's slope", slope_span_of<BinaryOp::gelu_tanh_gradient>, exact_gelu_tanh_slope, constant_slope,
     std::nullopt, 4, gelu_tanh_slope_size}};

struct Kernel {
  std::string target;
  Span span;
};

// The kernels of the baseline, or those on vectors of all instruction sets that this processor has.
std::vector<Kernel> kernels(Span (*span)(), bool baseline) {
  std::vector<Kernel> result;
  for_each_target(baseline ? std::vector{kBaselineTarget} : kVectorTargets, [&](int64_t target) {
    result.push_back({hwy::TargetName(target), span()});
  });
  return result;
}

// |got - exact| in units of the last place that a float32 of the size of `of` has. Infinity counts as 2^128,
// the float that would come next.
double error_in_units(float got, double exact, double of) {
  if (std::isnan(exact) || std::isnan(got)) return std::isnan(exact) && std::isnan(got) ? 0 : kInfinity;
  const double difference =
      std::clamp(static_cast<double>(got), -0x1p128, 0x1p128) - std::clamp(exact, -0x1p128, 0x1p128);
  const double size = std::clamp(std::abs(of), 0x1p-126, 0x1p127);
  const auto power_of_two = std::bit_cast<double>(std::bit_cast<uint64_t>(size) & 0x7ff0000000000000);
  return std::abs(difference) / (power_of_two * 0x1p-23);
}

struct Worst {
  double error = 0;
  float x = 0;
  void take(double new_error, float new_x) {
    if (new_error > error) *this = {new_error, new_x};
  }
};

bool is_line_through_0(const Function& function, const std::vector<Kernel>& kernels,
                       const std::vector<float>& x) {
  if (!function.factor || !(std::abs(x.back()) < 0x1p-26f)) return false;
  std::vector<float> got(x.size());
  return std::all_of(kernels.begin(), kernels.end(), [&](const Kernel& kernel) {
    kernel.span(x.data(), got.data(), static_cast<int64_t>(x.size()));
    int different = 0;
    for (size_t i = 0; i < x.size(); ++i) different += got[i] != *function.factor * x[i];
    return different == 0;
  });
}

// Worst errors of the kernels on floats of one sign, magnitudes rising.
void try_block(const Function& function, const std::vector<Kernel>& kernels, const std::vector<float>& x,
               std::vector<Worst>& worst) {
  if (is_line_through_0(function, kernels, x)) return;
  std::optional<double> constant;
  if (!std::isnan(x.back())) {
    constant = function.constant(std::signbit(x[0]), std::abs(x[0]), std::abs(x.back()));
  }
  std::vector<double> exact(x.size(), constant.value_or(0));
  if (!constant)
    std::transform(x.begin(), x.end(), exact.begin(), [&](float v) { return function.exact(v); });
  std::vector<float> got(x.size());
  for (size_t k = 0; k < kernels.size(); ++k) {
    kernels[k].span(x.data(), got.data(), static_cast<int64_t>(x.size()));
    const auto expected = static_cast<float>(exact[0]);
    const auto same = [&](float v) { return std::isnan(expected) ? std::isnan(v) : v == expected; };
    if (constant && std::all_of(got.begin(), got.end(), same)) continue;
    for (size_t i = 0; i < x.size(); ++i) {
      const double of = function.size(x[i], exact[i]);
      worst[k].take(error_in_units(got[i], exact[i], of), x[i]);
    }
  }
}

// Worst errors of the kernels on every stride-th float.
std::vector<Worst> try_floats(const Function& function, const std::vector<Kernel>& kernels, uint64_t stride) {
  constexpr uint64_t kHalf = kFloats / 2;   // the second half is negative
  constexpr uint64_t kChunk = kHalf / 512;  // floats of a thread's piece of work
  constexpr uint64_t kBlock = 1 << 13;
  std::vector<Worst> worst(kernels.size());
  std::mutex mutex;
  parallel_for_uneven(2 * kHalf / kChunk, true, [&](int64_t piece) {
    std::vector<Worst> here(kernels.size());
    const uint64_t end = static_cast<uint64_t>(piece + 1) * kChunk;
    for (uint64_t from = end - kChunk; from < end; from += kBlock * stride) {
      std::vector<float> x(std::min(kBlock, (end - from + stride - 1) / stride));
      for (size_t i = 0; i < x.size(); ++i) x[i] = float_of(from + i * stride);
      try_block(function, kernels, x, here);
    }
    const std::lock_guard lock(mutex);
    for (size_t k = 0; k < worst.size(); ++k) worst[k].take(here[k].error, here[k].x);
  });
  return worst;
}

void check_units(std::span<const Function> functions, bool baseline, uint64_t stride) {
  for (const Function& function : functions) {
    SUBCASE(function.name.c_str()) {
      const std::vector<Kernel> tried = kernels(function.span, baseline);
      const std::vector<Worst> worst = try_floats(function, tried, stride);
      for (size_t k = 0; k < tried.size(); ++k) {
        MESSAGE(function.name, " on ", tried[k].target, ", one float in ", stride, ": off by at most ",
                worst[k].error, " units in the last place, at ", worst[k].x);
        CHECK(worst[k].error <= function.units);
      }
    }
  }
}

// f at 0, -0, infinity, -infinity and NaN.
struct Limits {
  std::string name;
  Span (*span)();
  std::array<float, 5> expected;
};

// `sign_at_minus_infinity`: whether a zero there has to have the sign of the expected one.
void check_limits(const Limits& row, bool sign_at_minus_infinity) {
  constexpr float kX[] = {0.0f, -0.0f, kInfinity, -kInfinity, kNan};
  for (bool baseline : {false, true}) {
    for (const Kernel& kernel : kernels(row.span, baseline)) {
      CAPTURE(row.name);
      CAPTURE(kernel.target);
      float got[5];
      kernel.span(kX, got, 5);
      for (size_t i = 0; i < 5; ++i) {
        CAPTURE(kX[i]);
        CHECK(std::isnan(got[i]) == std::isnan(row.expected[i]));
        if (std::isnan(got[i])) continue;
        CHECK(got[i] == row.expected[i]);
        if (i != 3 || sign_at_minus_infinity) CHECK(std::signbit(got[i]) == std::signbit(row.expected[i]));
      }
    }
  }
}

}  // namespace

TEST_CASE(
    "exp, tanh, erf, log, gelu and its slope are within 2 units in the last place for every float, in "
    "release "
    "builds") {
  check_units(kFunctions, false, kVectorStride);
}

TEST_CASE(
    "sigmoid and softplus are within 2 units in the last place, silu, gelu_tanh and their slopes within 4 of "
    "their size, on a sample of all floats") {
  check_units(kActivations, false, kActivationStride);
}

TEST_CASE("functions and activations are as accurate on the baseline, on a sample of all floats") {
  check_units(kFunctions, true, kBaselineStride);
  check_units(kActivations, true, kBaselineStride);
}

TEST_CASE("exp, tanh, erf, log and sigmoid give the limits at zeros, infinities and NaN") {
  for (const Limits& row : {
           Limits{"exp", unary_span_of<UnaryOp::exp>, {1, 1, kInfinity, 0, kNan}},
           Limits{"tanh", unary_span_of<UnaryOp::tanh>, {0.0f, -0.0f, 1, -1, kNan}},
           Limits{"erf", unary_span_of<UnaryOp::erf>, {0.0f, -0.0f, 1, -1, kNan}},
           Limits{"log", unary_span_of<UnaryOp::log>, {-kInfinity, -kInfinity, kInfinity, kNan, kNan}},
           Limits{"sigmoid", unary_span_of<UnaryOp::sigmoid>, {0.5f, 0.5f, 1, 0, kNan}},
       }) {
    check_limits(row, true);
  }
}

TEST_CASE("activations and their slopes give the limits at zeros, infinities and NaN") {
  constexpr float kLog2 = std::numbers::ln2_v<float>;
  for (const Limits& row : {
           Limits{"softplus", unary_span_of<UnaryOp::softplus>, {kLog2, kLog2, kInfinity, 0, kNan}},
           Limits{"relu", unary_span_of<UnaryOp::relu>, {0.0f, -0.0f, kInfinity, 0, kNan}},
           Limits{"gelu", unary_span_of<UnaryOp::gelu>, {0.0f, -0.0f, kInfinity, 0, kNan}},
           Limits{"gelu_tanh", unary_span_of<UnaryOp::gelu_tanh>, {0.0f, -0.0f, kInfinity, 0, kNan}},
           Limits{"silu", unary_span_of<UnaryOp::silu>, {0.0f, -0.0f, kInfinity, 0, kNan}},
           Limits{"gelu_gradient", slope_span_of<BinaryOp::gelu_gradient>, {0.5f, 0.5f, 1, 0, kNan}},
           Limits{
               "gelu_tanh_gradient", slope_span_of<BinaryOp::gelu_tanh_gradient>, {0.5f, 0.5f, 1, 0, kNan}},
           Limits{"silu_gradient", slope_span_of<BinaryOp::silu_gradient>, {0.5f, 0.5f, 1, 0, kNan}},
       }) {
    check_limits(row, false);
  }
}

TEST_CASE(
    "exponentials of rows have the bits of exp, on a sample of all floats that are not positive, and 0") {
  const UnarySpan<float> exp = unary_span<float>(UnaryOp::exp);
  constexpr int64_t kCount = 1021;  // no multiple of a vector
  std::vector<float> x(kCount), expected(kCount), got(kCount);
  uint64_t different = 0;
  for (uint64_t bits = kFloats / 2; bits < kFloats; bits += kCount * kBaselineStride) {
    for (uint64_t i = 0; i < kCount; ++i) x[i] = float_of(std::min(bits + i * kBaselineStride, kFloats - 1));
    x[0] = 0;
    exp(x.data(), expected.data(), kCount, 0, 0);
    row_spans<float>().exp_and_sum(x.data(), got.data(), kCount, 0);
    for (size_t i = 0; i < kCount; ++i) {
      different += std::bit_cast<uint32_t>(got[i]) != std::bit_cast<uint32_t>(expected[i]) &&
                   !(std::isnan(got[i]) && std::isnan(expected[i]));
    }
  }
  CHECK(different == 0);
  // Shifted by the largest of them, each as if by itself.
  const float rows[] = {3, -200, 2.5f, std::numeric_limits<float>::quiet_NaN(), -1e30f, 3};
  float terms[6], shifted[6];
  row_spans<float>().exp_and_sum(rows, terms, 6, 3);
  for (size_t i = 0; i < 6; ++i) shifted[i] = rows[i] - 3;
  exp(shifted, expected.data(), 6, 0, 0);
  for (const size_t i : {0, 1, 2, 4, 5}) CHECK(terms[i] == expected[i]);
  CHECK(std::isnan(terms[3]));
  CHECK(row_spans<float>().sum_exp(rows, 3, 3) == doctest::Approx(1 + std::exp(-0.5)));
}

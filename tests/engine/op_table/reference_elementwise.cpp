#include <limits>
#include <numbers>

#include "engine/op_table/reference.h"

namespace haze::reference {
namespace {

constexpr double kPi = std::numbers::pi;

double logistic(double x) {
  return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}
double normal_density(double x) {
  return std::exp(-x * x / 2) / std::sqrt(2 * kPi);
}
// In long double, as rounding the argument costs x^2 / 2 units.
double normal_cdf(double x) {
  return static_cast<double>(std::erfc(-x / std::numbers::sqrt2_v<long double>) / 2);
}
double round_half_to_even(double x) {
  const double below = std::floor(x), fraction = x - below;
  if (fraction == 0 || !std::isfinite(x)) return x;
  const bool up = fraction > 0.5 || (fraction == 0.5 && std::fmod(below, 2) != 0);
  return up ? below + 1 : below;
}

// In long double, whose exponents reach far enough, and beyond that the first terms for a large argument.
double scaled_erfc(double x) {
  const long double wide = x, r = 1 / (2 * wide * wide);
  if (x < 100) return static_cast<double>(std::exp(wide * wide) * std::erfc(wide));
  const long double series = 1 - r * (1 - 3 * r * (1 - 5 * r * (1 - 7 * r)));
  return static_cast<double>(series / (wide * std::sqrt(std::numbers::pi_v<long double>)));
}

// Newton's method from Polya's lower bound, erf(y)^2 <= 1 - e^(-4 y^2 / pi): erf is concave there, so every
// step stays below the root. Near 1 by erfc.
double inverse_erf(double x) {
  const long double target = std::abs(x);
  if (!(target < 1)) return target == 1 ? x * std::numeric_limits<double>::infinity() : std::nan("");
  constexpr long double kHalfSqrtPi = 0.5L / std::numbers::inv_sqrtpi_v<long double>;
  long double y = kHalfSqrtPi * std::sqrt(-std::log1p(-target * target)), step = 1;
  while (step > 1e-18L * y) {
    const long double missing = target < 0.5L ? target - std::erf(y) : std::erfc(y) - (1 - target);
    step = missing * std::exp(y * y) * kHalfSqrtPi;
    y += step;
  }
  return std::copysign(static_cast<double>(y), x);
}

double log_normal_cdf(double x) {
  constexpr long double kRootTwo = std::numbers::sqrt2_v<long double>;
  const long double wide = x, tail = std::erfc(std::abs(wide) / kRootTwo) / 2;
  if (x >= 0) return static_cast<double>(std::log1p(-tail));
  if (x > -100) return static_cast<double>(std::log(tail));
  // Phi(x) = e^(-x^2 / 2) erfcx(-x / sqrt 2) / 2
  return static_cast<double>(-wide * wide / 2 + std::log(scaled_erfc(-x / std::numbers::sqrt2) / 2));
}
// Twice the argument of the tanh in gelu_tanh, so that (1 + tanh) / 2 is the logistic function of it.
double gelu_tanh_argument(double x) {
  return 2 * std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x);
}

// A function computed to kElementary units.
Number elementary(double value) {
  return {value, kElementary * std::abs(value)};
}
// One that is composed of two of these.
Number few_units(double value) {
  return {value, 1.5 * kElementary * std::abs(value)};
}
// One operation of IEEE arithmetic.
Number one_rounding(double value) {
  return {value, std::abs(value)};
}

// What s below the normal range of float32 is off by, whatever its size: the smallest subnormal, 2^-149, in
// units of 2^-24 (the underflow term of Higham 2002, equation 2.8), twice for s and the quotient it comes
// from.
constexpr double kUnderflow = 2 * 0x1p-125;

// x s(v) with the logistic function s and an argument v that is three roundings off.
Number gated(double x, double v) {
  if (std::isinf(x)) return {x > 0 ? x : 0, 0};
  const double s = logistic(v), value = x == 0 ? x : x * s;
  return {value, std::abs(value) * (kElementary + 2 + 3 * std::abs(v) * (1 - s)) + kUnderflow * std::abs(x)};
}

// d/dx x s(v(x)) = s + x s (1 - s) v'. What s is off by, s (4 + 3 |v| (1 - s)) units, enters 1 - s too.
Number gated_derivative(double x, double v, double slope) {
  const double s = logistic(v), rest = logistic(-v);
  const double tail = rest == 0 || s == 0 ? 0 : x * s * rest * slope;
  const double off = s * (kElementary + 3 * std::min(std::abs(v), 1e300) * rest);
  const double gain = rest == 0 || s == 0 ? 0 : std::abs(x * slope);
  const double underflow = kUnderflow * (1 + gain);
  return {s + tail, off * (1 + gain) + gain * s * 1 + 6 * std::abs(tail) + std::abs(s + tail) + underflow};
}

Number gelu(double x) {
  if (std::isinf(x)) return {x > 0 ? x : 0, 0};
  const double value = x == 0 ? x : x * normal_cdf(x);
  return {value, kElementary * std::abs(value) + kUnderflow};
}

}  // namespace

Number unary(UnaryOp op, double x, double a, double b) {
  switch (op) {
    case UnaryOp::scale_shift:
      // a and b are rounded to the dtype too.
      return {a * x + b, 2 * std::abs(a * x) + std::abs(b) + std::abs(a * x + b)};
    case UnaryOp::absolute:
      return {std::abs(x), 0};
    case UnaryOp::sign:
      return {std::isnan(x) ? x : x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0, 0};
    case UnaryOp::floor:
      return {std::floor(x), 0};
    case UnaryOp::ceil:
      return {std::ceil(x), 0};
    case UnaryOp::round:
      return {round_half_to_even(x), 0};
    case UnaryOp::square:
      return one_rounding(x * x);
    case UnaryOp::sqrt:
      return one_rounding(std::sqrt(x));
    case UnaryOp::rsqrt:
      return {1 / std::sqrt(x), 2 / std::sqrt(x)};
    case UnaryOp::reciprocal:
      return one_rounding(1 / x);
    case UnaryOp::power:
      // The exponent is rounded to the dtype: x^(a (1 + u)) = x^a (1 + u a log x).
      return {std::pow(x, a),
              std::abs(std::pow(x, a)) * (kElementary + (x > 0 ? std::abs(a * std::log(x)) : 0.0))};
    case UnaryOp::exp:
      return elementary(std::exp(x));
    case UnaryOp::expm1:
      return elementary(std::expm1(x));
    case UnaryOp::log:
      return elementary(std::log(x));
    case UnaryOp::log1p:
      return elementary(std::log1p(x));
    case UnaryOp::sin:
      return elementary(std::sin(x));
    case UnaryOp::cos:
      return elementary(std::cos(x));
    case UnaryOp::tanh:
      return elementary(std::tanh(x));
    case UnaryOp::erf:
      return elementary(std::erf(x));
    case UnaryOp::erfcx:
      return few_units(scaled_erfc(x));
    case UnaryOp::erfinv:
      return few_units(inverse_erf(x));
    case UnaryOp::log_ndtr:
      return few_units(log_normal_cdf(x));
    case UnaryOp::sigmoid:
      return elementary(logistic(x));
    case UnaryOp::softplus:
      return elementary(x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)));
    case UnaryOp::relu:
      return {x < 0 ? 0.0 : x, 0};
    case UnaryOp::leaky_relu:
      // a is rounded to the dtype too.
      return {x > 0 ? x : a * x, x > 0 ? 0 : 2 * std::abs(a * x) + kUnderflow};
    case UnaryOp::gelu:
      return gelu(x);
    case UnaryOp::gelu_tanh:
      return gated(x, gelu_tanh_argument(x));
    case UnaryOp::silu:
      return gated(x, x);
    case UnaryOp::clamp:
      return {std::isnan(x) ? x : std::min(std::max(x, a), b), 0};
    case UnaryOp::kCount:
      break;
  }
  return {};
}

Number binary(BinaryOp op, double x, double y) {
  const bool nan = std::isnan(x) || std::isnan(y);
  switch (op) {
    case BinaryOp::add:
      return one_rounding(x + y);
    case BinaryOp::subtract:
      return one_rounding(x - y);
    case BinaryOp::multiply:
      return one_rounding(x * y);
    case BinaryOp::divide:
      return one_rounding(x / y);
    case BinaryOp::maximum:
      return {nan ? x + y : x > y ? x : y, 0};
    case BinaryOp::minimum:
      return {nan ? x + y : x < y ? x : y, 0};
    case BinaryOp::gelu_gradient: {
      const double slope = x * normal_density(x), square = x * x * normal_density(x);
      const double tail = std::isfinite(x) && std::abs(x) < 1e100 ? slope : 0;
      const double terms = normal_cdf(x) + std::abs(tail);
      const double error = (kElementary + 1) * terms + std::abs(tail != 0 ? x * square : 0.0) + kUnderflow;
      return {y * (normal_cdf(x) + tail), std::abs(y) * error};
    }
    case BinaryOp::gelu_tanh_gradient: {
      const double slope = 2 * std::sqrt(2 / kPi) * (1 + 3 * 0.044715 * x * x);
      const Number derivative = gated_derivative(x, gelu_tanh_argument(x), slope);
      return {y * derivative.value, std::abs(y) * derivative.error};
    }
    case BinaryOp::silu_gradient: {
      const Number derivative = gated_derivative(x, x, 1);
      return {y * derivative.value, std::abs(y) * derivative.error};
    }
    case BinaryOp::kCount:
      break;
  }
  return {};
}

Number activation(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return {x, 0};
    case Activation::relu:
      return unary(UnaryOp::relu, x, 0, 0);
    case Activation::gelu:
      return unary(UnaryOp::gelu, x, 0, 0);
    case Activation::gelu_tanh:
      return unary(UnaryOp::gelu_tanh, x, 0, 0);
    case Activation::silu:
      return unary(UnaryOp::silu, x, 0, 0);
  }
  return {};
}

bool compare(CompareOp op, double x, double y) {
  switch (op) {
    case CompareOp::equal:
      return x == y;
    case CompareOp::not_equal:
      return x != y;
    case CompareOp::less:
      return x < y;
    case CompareOp::less_equal:
      return x <= y;
    case CompareOp::greater:
      return x > y;
    case CompareOp::greater_equal:
      return x >= y;
    case CompareOp::kCount:
      break;
  }
  return false;
}

Array map(const Array& x, const std::function<Number(double)>& f) {
  Array result(x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    const Number number = f(x.values[i]);
    result.values[i] = number.value;
    result.error[i] = number.error;
  }
  return result;
}

namespace {

Shape common_shape(const Shape& x, const Shape& y) {
  Shape result = x.rank() > y.rank() ? x : y;
  const Shape& shorter = x.rank() > y.rank() ? y : x;
  for (int axis = 0; axis < shorter.rank(); ++axis) {
    int64_t& extent = result[axis + result.rank() - shorter.rank()];
    if (extent == 1) extent = shorter[axis];
  }
  return result;
}

}  // namespace

Array zip(const Array& x, const Array& y, const std::function<Number(double, double)>& f) {
  Array result(common_shape(x.shape, y.shape));
  Shape index = index_of(0, result.shape);
  for (size_t i = 0; i < result.values.size(); ++i, advance(index, result.shape)) {
    const Number number =
        f(x.values[broadcast_number(index, x.shape)], y.values[broadcast_number(index, y.shape)]);
    result.values[i] = number.value;
    result.error[i] = number.error;
  }
  return result;
}

Array expand(const Array& x, const Shape& shape) {
  Array result(shape);
  Shape index = index_of(0, shape);
  for (size_t i = 0; i < result.values.size(); ++i, advance(index, shape)) {
    const size_t from = broadcast_number(index, x.shape);
    result.values[i] = x.values[from];
    result.error[i] = x.error[from];
  }
  return result;
}

Array where(const Array& condition, const Array& x, const Array& y) {
  const Shape shape = common_shape(condition.shape, common_shape(x.shape, y.shape));
  const Array c = expand(condition, shape), a = expand(x, shape), b = expand(y, shape);
  Array result(shape);
  for (size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] = c.values[i] != 0 ? a.values[i] : b.values[i];
  }
  return result;
}

Array rearrange(const Array& x, const Shape& shape, const std::function<Shape(const Shape&)>& source) {
  Array result(shape);
  Shape index = index_of(0, shape);
  for (size_t i = 0; i < result.values.size(); ++i, advance(index, shape)) {
    const size_t from = number_of(source(index), x.shape);
    result.values[i] = x.values[from];
    result.error[i] = x.error[from];
  }
  return result;
}

Array permute(const Array& x, const Shape& axes) {
  Shape shape = x.shape;
  for (int axis = 0; axis < shape.rank(); ++axis) shape[axis] = x.shape[static_cast<int>(axes[axis])];
  return rearrange(x, shape, [&](const Shape& index) {
    Shape from = index;
    for (int axis = 0; axis < index.rank(); ++axis) from[static_cast<int>(axes[axis])] = index[axis];
    return from;
  });
}

Array slice(const Array& x, int axis, int64_t first, int64_t last, int64_t step) {
  Shape shape = x.shape;
  shape[axis] = 0;
  for (int64_t i = first; i < last; i += step) ++shape[axis];
  return rearrange(x, shape, [&](const Shape& index) {
    Shape from = index;
    from[axis] = first + index[axis] * step;
    return from;
  });
}

namespace {

// Philox4x32-10 as the paper's section 4.3 writes it.
std::array<uint32_t, 4> philox_words(RandomPosition position, uint64_t index) {
  const uint64_t counter = position.counter + index;
  uint32_t l0 = static_cast<uint32_t>(counter), r0 = static_cast<uint32_t>(counter >> 32);
  uint32_t l1 = static_cast<uint32_t>(position.stream), r1 = static_cast<uint32_t>(position.stream >> 32);
  auto k0 = static_cast<uint32_t>(position.seed), k1 = static_cast<uint32_t>(position.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t m0 = static_cast<uint64_t>(l0) * 3528531795u, m1 = static_cast<uint64_t>(l1) * 3449720151u;
    const uint32_t new_l0 = static_cast<uint32_t>(m1 >> 32) ^ r0 ^ k0;
    const uint32_t new_l1 = static_cast<uint32_t>(m0 >> 32) ^ r1 ^ k1;
    r0 = static_cast<uint32_t>(m1);
    r1 = static_cast<uint32_t>(m0);
    l0 = new_l0;
    l1 = new_l1;
    k0 += 2654435769u;
    k1 += 3144134277u;
  }
  return {l0, r0, l1, r1};
}

// In [0, 1) from element `index` of a stream, with 24 bits of one word or 53 of two.
double unit_number(RandomPosition position, uint64_t index, bool wide) {
  if (!wide) return (random_word(position, index) >> 8) / 16777216.0;
  const uint64_t high = random_word(position, 2 * index), low = random_word(position, 2 * index + 1);
  return static_cast<double>((high << 32 | low) >> 11) / 9007199254740992.0;
}

}  // namespace

uint32_t random_word(RandomPosition position, uint64_t index) {
  return philox_words(position, index / 4)[index % 4];
}

Array uniform(const Shape& shape, RandomPosition position, double low, double high, bool wide) {
  Array result(shape);
  for (size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] = low + (high - low) * unit_number(position, i, wide);
    result.error[i] = 3 * (std::abs(low) + std::abs(high));
  }
  return result;
}

Array normal(const Shape& shape, RandomPosition position, double mean, double deviation, bool wide) {
  Array result(shape);
  for (size_t i = 0; i < result.values.size(); ++i) {
    const size_t pair = i / 2 * 2;
    // In (0, 1], where float32 has all 32 bits: they make the tail of the distribution.
    const double u =
        wide ? 1 - unit_number(position, pair, true) : (random_word(position, pair) + 0.5) / 4294967296.0;
    const double radius = deviation * std::sqrt(-2 * std::log(u));
    const double angle = 2 * kPi * unit_number(position, pair + 1, wide);
    result.values[i] = mean + radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
    // log u is off by kElementary units and 1 / log u of what u is off by.
    const double of_radius = radius * (kElementary + 3) + (radius > 0 ? deviation * deviation / radius : 0);
    result.error[i] = of_radius + radius * (2 * angle + kElementary) + 2 * std::abs(mean) + radius;
  }
  return result;
}

Array dropout(const Array& x, double probability, RandomPosition position) {
  const auto threshold = static_cast<uint64_t>(probability * 4294967296.0);
  Array result(x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) {
    if (random_word(position, i) < threshold) continue;
    result.values[i] = x.values[i] / (1 - probability);
    result.error[i] = 2 * std::abs(result.values[i]);
  }
  return result;
}

Array categorical(const Array& log_probabilities, RandomPosition position) {
  Array uniforms({log_probabilities.shape[0]});
  for (size_t row = 0; row < uniforms.values.size(); ++row) {
    const uint64_t high = random_word(position, 4 * row), low = random_word(position, 4 * row + 1);
    uniforms.values[row] = static_cast<double>((high << 32 | low) >> 11) / 9007199254740992.0;
  }
  return categorical(log_probabilities, uniforms);
}

Array categorical(const Array& log_probabilities, const Array& uniforms) {
  const int64_t rows = log_probabilities.shape[0], columns = log_probabilities.shape[1];
  Array result({rows});
  for (int64_t row = 0; row < rows; ++row) {
    const double* entries = log_probabilities.values.data() + row * columns;
    double largest = entries[0], total = 0;
    for (int64_t i = 0; i < columns; ++i) largest = std::max(largest, entries[i]);
    for (int64_t i = 0; i < columns; ++i) total += std::exp(entries[i] - largest);
    const double target = uniforms.values[static_cast<size_t>(row)] * total;
    int64_t drawn = 0;
    double sum = std::exp(entries[0] - largest);
    while (sum <= target && drawn + 1 < columns) sum += std::exp(entries[++drawn] - largest);
    result.values[static_cast<size_t>(row)] = static_cast<double>(drawn);
  }
  return result;
}

}  // namespace haze::reference

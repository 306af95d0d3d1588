#include <cmath>
#include <numbers>

#include "haze/autograd/rules.h"

// Element by element. Masks (signs, comparisons) are constants of a rule: their own derivative is 0 wherever
// it exists.
namespace haze {
namespace {

/// Polynomials, powers and roots.
Variable algebraic(UnaryOp op, Tensor value, const Variable& x, double a) {
  const auto record = [&](auto rule) {
    return Tape::record(name(op), std::move(value), {x}, std::move(rule));
  };
  switch (op) {
    case UnaryOp::scale_shift:
      // d(a x + b) = a dx
      return record([a](const Variable& g) { return Gradients{a == 1 ? g : g * a}; });
    case UnaryOp::square:
      // d(x^2) = 2 x dx
      return record([x = Saved("x", x)](const Variable& g) { return Gradients{g * (x.variable() * 2)}; });
    case UnaryOp::sqrt:
      // d(sqrt(x)) = dx / (2 sqrt(x))
      return record([](const Variable& g, const Variable& y) { return Gradients{g / (y * 2)}; });
    case UnaryOp::rsqrt:
      // d(x^-1/2) = -1/2 x^-3/2 dx
      return record(
          [](const Variable& g, const Variable& y) { return Gradients{g * (square(y) * y * -0.5)}; });
    case UnaryOp::reciprocal:
      // d(1/x) = -1/x^2 dx
      return record([](const Variable& g, const Variable& y) { return Gradients{g * -square(y)}; });
    case UnaryOp::power:
      // d(x^a) = a x^(a-1) dx, with x^0 = 1 also at 0
      return record([x = Saved("x", x), a](const Variable& g) {
        if (a == 0) return Gradients{zeros_like(g.value())};
        return Gradients{a == 1 ? g : g * (unary(UnaryOp::power, x.variable(), a - 1) * a)};
      });
    default:
      fail("unary: no gradient rule for {}", name(op));
  }
}

/// Exponentials, logarithms, circular and sigmoid functions.
Variable transcendental(UnaryOp op, Tensor value, const Variable& x) {
  const auto record = [&](auto rule) {
    return Tape::record(name(op), std::move(value), {x}, std::move(rule));
  };
  switch (op) {
    case UnaryOp::exp:
      // d(e^x) = e^x dx
      return record([](const Variable& g, const Variable& y) { return Gradients{g * y}; });
    case UnaryOp::expm1:
      // d(e^x - 1) = e^x dx; not y + 1, which has lost its digits where x is far below 0
      return record([x = Saved("x", x)](const Variable& g) { return Gradients{g * exp(x.variable())}; });
    case UnaryOp::log:
      // d(log x) = dx / x
      return record([x = Saved("x", x)](const Variable& g) { return Gradients{g / x.variable()}; });
    case UnaryOp::log1p:
      // d(log(1 + x)) = dx / (1 + x)
      return record([x = Saved("x", x)](const Variable& g) { return Gradients{g / (x.variable() + 1)}; });
    case UnaryOp::sin:
      // d(sin x) = cos x dx
      return record([x = Saved("x", x)](const Variable& g) {
        return Gradients{g * unary(UnaryOp::cos, x.variable())};
      });
    case UnaryOp::cos:
      // d(cos x) = -sin x dx
      return record([x = Saved("x", x)](const Variable& g) {
        return Gradients{g * -unary(UnaryOp::sin, x.variable())};
      });
    case UnaryOp::tanh:
      // d(tanh x) = (1 - tanh^2 x) dx
      return record([](const Variable& g, const Variable& y) { return Gradients{g * (-square(y) + 1)}; });
    case UnaryOp::sigmoid:
      // d(s(x)) = s(x) s(-x) dx; not y (1 - y), which has lost its digits where y is almost 1
      return record([x = Saved("x", x)](const Variable& g) {
        return Gradients{g * (sigmoid(x.variable()) * sigmoid(-x.variable()))};
      });
    case UnaryOp::softplus:
      // d(log(1 + e^x)) = s(x) dx
      return record([x = Saved("x", x)](const Variable& g) { return Gradients{g * sigmoid(x.variable())}; });
    default:
      return algebraic(op, std::move(value), x, 0);
  }
}

/// The family of the error function.
Variable of_normal_distribution(UnaryOp op, Tensor value, const Variable& x) {
  const auto record = [&](auto rule) {
    return Tape::record(name(op), std::move(value), {x}, std::move(rule));
  };
  using std::numbers::inv_sqrtpi, std::numbers::sqrt2;
  switch (op) {
    case UnaryOp::erf:
      // d(erf x) = 2/sqrt(pi) e^(-x^2) dx
      return record([x = Saved("x", x)](const Variable& g) {
        return Gradients{g * (exp(-square(x.variable())) * (2 * inv_sqrtpi))};
      });
    case UnaryOp::erfcx:
      // d(erfcx x) = (2 x erfcx x - 2/sqrt(pi)) dx
      return record([x = Saved("x", x)](const Variable& g, const Variable& y) {
        return Gradients{g * ((x.variable() * y - inv_sqrtpi) * 2)};
      });
    case UnaryOp::erfinv:
      // d(erfinv x) = sqrt(pi)/2 e^(y^2) dx
      return record([](const Variable& g, const Variable& y) {
        return Gradients{g * (exp(square(y)) * (0.5 / inv_sqrtpi))};
      });
    case UnaryOp::log_ndtr:
      // d(log Phi(x)) = phi(x) / Phi(x) dx = sqrt(2/pi) / erfcx(-x / sqrt(2)) dx
      return record([x = Saved("x", x)](const Variable& g) {
        return Gradients{g * (sqrt2 * inv_sqrtpi) / unary(UnaryOp::erfcx, x.variable() * (-1 / sqrt2))};
      });
    default:
      fail("unary: no gradient rule for {}", name(op));
  }
}

/// Functions with kinks or steps; at a kink the gradient is as stated.
Variable piecewise(UnaryOp op, Tensor value, const Variable& x) {
  const auto record = [&](auto rule) {
    return Tape::record(name(op), std::move(value), {x}, std::move(rule));
  };
  switch (op) {
    case UnaryOp::absolute:
      // d|x| = sign(x) dx; 0 at 0
      return record([x = Saved("x", x.value())](const Variable& g) {
        return Gradients{g * unary(UnaryOp::sign, x.value())};
      });
    case UnaryOp::sign:
    case UnaryOp::floor:
    case UnaryOp::ceil:
    case UnaryOp::round:
      // 0: they are constant between their steps
      return record([](const Variable& g) { return Gradients{zeros_like(g.value())}; });
    case UnaryOp::relu:
      // d(max(x, 0)) = [x > 0] dx; 0 at 0
      return record([](const Variable& g, const Variable& y) {
        return Gradients{masked(compare(CompareOp::greater, y.value(), zeros({}, y.dtype(), y.device())), g)};
      });
    case UnaryOp::clamp:
      // d(clamp(x)) = [a <= x <= b] dx: where clamping changed nothing
      return record([x = Saved("x", x.value())](const Variable& g, const Variable& y) {
        return Gradients{masked(compare(CompareOp::equal, x.value(), y.value()), g)};
      });
    default:
      return transcendental(op, std::move(value), x);
  }
}

/// f''(x) for the f of a *_gradient operation. None of its terms cancels where it is small.
Variable second_derivative(BinaryOp op, const Variable& x) {
  switch (op) {
    case BinaryOp::gelu_gradient: {
      // (x Phi(x))'' = phi(x) (2 - x^2)
      const Variable density = exp(square(x) * -0.5) * (std::numbers::inv_sqrtpi / std::numbers::sqrt2);
      return density * (-square(x) + 2);
    }
    case BinaryOp::gelu_tanh_gradient: {
      // With s(2u) = (1 + tanh u)/2: (x s(2u))'' = s(2u) s(-2u) (4 u' + 2 x u'' + 4 x u'^2 (s(-2u) - s(2u))),
      // u = k (x + c x^3)
      const double k = std::numbers::sqrt2 * std::numbers::inv_sqrtpi, c = 0.044715;
      const Variable x2 = square(x);
      const Variable u2 = x * (x2 * (2 * k * c) + 2 * k), slope = x2 * (3 * k * c) + k;
      const Variable s = sigmoid(u2), r = sigmoid(-u2);
      return s * r * (slope * 4 + x2 * (12 * k * c) + x * square(slope) * (r - s) * 4);
    }
    case BinaryOp::silu_gradient: {
      // (x s(x))'' = s(x) s(-x) (2 + x (s(-x) - s(x)))
      const Variable s = sigmoid(x), r = sigmoid(-x);
      return s * r * (x * (r - s) + 2);
    }
    default:
      fail("binary: {} is not the gradient of a function", name(op));
  }
}

/// g f'(x), f being the function of a *_gradient operation.
Variable times_derivative(BinaryOp op, const Variable& x, const Variable& g) {
  if (!any_needs_gradient({&x, &g})) return Variable(binary(op, x.value(), g.value()));
  // d(g f'(x)) = g f''(x) dx + f'(x) dg
  return Tape::record(name(op), binary(op, x.value(), g.value()), {x, g},
                      [op, x = Saved("x", x), g = saved_if(x.requires_gradient(), "g", g),
                       g_shape = g.shape()](const Variable& h) {
                        Gradients gradients(2);
                        if (needed(0)) {
                          gradients[0] =
                              sum_to(h * g.variable() * second_derivative(op, x.variable()), x.shape());
                        }
                        if (needed(1)) gradients[1] = sum_to(times_derivative(op, x.variable(), h), g_shape);
                        return gradients;
                      });
}

/// maximum (wins = greater) or minimum (wins = less).
Variable extremum(BinaryOp op, CompareOp wins, const Variable& x, const Variable& y) {
  // d(max(x, y)) = dx where x is larger, dy where y is, half of each where they are equal
  return Tape::record(name(op), binary(op, x.value(), y.value()), {x, y},
                      [wins, x = Saved("x", x.value()), y = Saved("y", y.value())](const Variable& g) {
                        const Variable on_tie =
                            masked(compare(CompareOp::equal, x.value(), y.value()), g * 0.5);
                        const auto share = [&](const Tensor& own, const Tensor& other) {
                          return sum_to(where(compare(wins, own, other), g, on_tie), own.shape());
                        };
                        return Gradients{needed(0) ? share(x.value(), y.value()) : Variable(),
                                         needed(1) ? share(y.value(), x.value()) : Variable()};
                      });
}

/// Dropout at a position already taken out of a generator; linear in x for a given position.
Variable dropout_at(const Variable& x, double probability, RandomPosition position) {
  // d(m x) = m dx with the same mask m
  return Tape::record("dropout", dropout(x.value(), probability, position), {x},
                      [=](const Variable& g) { return Gradients{dropout_at(g, probability, position)}; });
}

}  // namespace

Variable unary(UnaryOp op, const Variable& x, double a, double b) {
  Tensor value = unary(op, x.value(), a, b);
  switch (op) {
    case UnaryOp::scale_shift:
    case UnaryOp::power:
      return algebraic(op, std::move(value), x, a);
    case UnaryOp::leaky_relu:
      // d(leaky_relu(x)) = [x > 0] dx + [x <= 0] a dx; a at 0. The result has the sign of x, as a >= 0
      return Tape::record("leaky_relu", std::move(value), {x}, [a](const Variable& g, const Variable& y) {
        return Gradients{
            where(compare(CompareOp::greater, y.value(), zeros({}, y.dtype(), y.device())), g, g * a)};
      });
    case UnaryOp::erf:
    case UnaryOp::erfcx:
    case UnaryOp::erfinv:
    case UnaryOp::log_ndtr:
      return of_normal_distribution(op, std::move(value), x);
    case UnaryOp::gelu:
      // d(gelu(x)) = gelu'(x) dx, likewise the two below
      return Tape::record("gelu", std::move(value), {x}, [x = Saved("x", x)](const Variable& g) {
        return Gradients{times_derivative(BinaryOp::gelu_gradient, x.variable(), g)};
      });
    case UnaryOp::gelu_tanh:
      return Tape::record("gelu_tanh", std::move(value), {x}, [x = Saved("x", x)](const Variable& g) {
        return Gradients{times_derivative(BinaryOp::gelu_tanh_gradient, x.variable(), g)};
      });
    case UnaryOp::silu:
      return Tape::record("silu", std::move(value), {x}, [x = Saved("x", x)](const Variable& g) {
        return Gradients{times_derivative(BinaryOp::silu_gradient, x.variable(), g)};
      });
    default:
      return piecewise(op, std::move(value), x);
  }
}

Variable binary(BinaryOp op, const Variable& x, const Variable& y) {
  switch (op) {
    case BinaryOp::add:
      return add(x, y);
    case BinaryOp::subtract:
      return subtract(x, y);
    case BinaryOp::multiply:
      return multiply(x, y);
    case BinaryOp::divide:
      return divide(x, y);
    case BinaryOp::maximum:
      return extremum(op, CompareOp::greater, x, y);
    case BinaryOp::minimum:
      return extremum(op, CompareOp::less, x, y);
    default:
      return times_derivative(op, x, y);
  }
}

Variable add(const Variable& x, const Variable& y) {
  // d(x + y) = dx + dy
  return Tape::record("add", add(x.value(), y.value()), {x, y},
                      [x_shape = x.shape(), y_shape = y.shape()](const Variable& g) {
                        return Gradients{needed(0) ? sum_to(g, x_shape) : Variable(),
                                         needed(1) ? sum_to(g, y_shape) : Variable()};
                      });
}

Variable subtract(const Variable& x, const Variable& y) {
  // d(x - y) = dx - dy
  return Tape::record("subtract", subtract(x.value(), y.value()), {x, y},
                      [x_shape = x.shape(), y_shape = y.shape()](const Variable& g) {
                        return Gradients{needed(0) ? sum_to(g, x_shape) : Variable(),
                                         needed(1) ? -sum_to(g, y_shape) : Variable()};
                      });
}

Variable multiply(const Variable& x, const Variable& y) {
  // d(x y) = y dx + x dy
  return Tape::record("multiply", multiply(x.value(), y.value()), {x, y},
                      [x_shape = x.shape(), y_shape = y.shape(), y = saved_if(x.requires_gradient(), "y", y),
                       x = saved_if(y.requires_gradient(), "x", x)](const Variable& g) {
                        return Gradients{needed(0) ? sum_to(g * y.variable(), x_shape) : Variable(),
                                         needed(1) ? sum_to(g * x.variable(), y_shape) : Variable()};
                      });
}

Variable divide(const Variable& x, const Variable& y) {
  Tensor value = divide(x.value(), y.value());
  if (!y.requires_gradient()) {
    // d(x / c) = dx / c
    return Tape::record("divide", std::move(value), {x, y},
                        [x_shape = x.shape(), y = Saved("y", y)](const Variable& g) {
                          return Gradients{sum_to(g / y.variable(), x_shape), Variable()};
                        });
  }
  // d(x / y) = dx / y - (x / y) dy / y
  return Tape::record("divide", std::move(value), {x, y},
                      [x_shape = x.shape(), y = Saved("y", y)](const Variable& g, const Variable& quotient) {
                        const Variable scaled = g / y.variable();
                        return Gradients{needed(0) ? sum_to(scaled, x_shape) : Variable(),
                                         needed(1) ? -sum_to(scaled * quotient, y.shape()) : Variable()};
                      });
}

Variable scale_shift(const Variable& x, double scale, double shift) {
  return unary(UnaryOp::scale_shift, x, scale, shift);
}

Variable where(const Tensor& condition, const Variable& x, const Variable& y) {
  // d(c ? x : y) = c ? dx : dy
  return Tape::record("where", where(condition, x.value(), y.value()), {x, y},
                      [condition = Saved("condition", condition), x_shape = x.shape(),
                       y_shape = y.shape()](const Variable& g) {
                        const Tensor zero = zeros({}, g.dtype(), g.device());
                        return Gradients{
                            needed(0) ? sum_to(where(condition.value(), g, zero), x_shape) : Variable(),
                            needed(1) ? sum_to(where(condition.value(), zero, g), y_shape) : Variable()};
                      });
}

Variable dropout(const Variable& x, double probability, Generator& generator) {
  if (probability == 0) return x;
  return dropout_at(x, probability, generator.reserve(dropout_counters(x.value().elements())));
}

}  // namespace haze

#pragma once

#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/autograd/gradcheck.h"
#include "haze/autograd/ops.h"

#include "error_of.h"

/// What the tests of gradient rules share.
namespace haze::testing {

using Inputs = std::vector<Variable>;

/// Standard normal, float64.
inline Tensor random(const Shape& shape, uint64_t seed = 1) {
  Generator generator(seed);
  return normal(shape, generator, 0, 1, Dtype::float64);
}

/// Uniform in [low, high), float64.
inline Tensor random_between(double low, double high, const Shape& shape, uint64_t seed = 1) {
  Generator generator(seed);
  return uniform(shape, generator, low, high, Dtype::float64);
}

inline Tensor float64s(std::initializer_list<double> values) {
  return Tensor::from<double>(values, {static_cast<int64_t>(values.size())});
}

inline Tensor int32s(std::initializer_list<int32_t> values, const Shape& shape) {
  return Tensor::from<int32_t>(values, shape);
}

inline void check_first(const std::string& what, const DifferentiableFunction& f,
                        const std::vector<Tensor>& inputs) {
  const GradcheckResult result = gradcheck(f, inputs);
  CHECK_MESSAGE(result.passed, what, ": ", result.message);
}

inline void check_first_and_second(const std::string& what, const DifferentiableFunction& f,
                                   const std::vector<Tensor>& inputs) {
  check_first(what, f, inputs);
  const GradcheckResult result = gradcheck_second(f, inputs);
  CHECK_MESSAGE(result.passed, what, ", second derivative: ", result.message);
}

/// The gradient of sum(f(x)).
inline std::vector<double> gradient_at(const std::function<Variable(const Variable&)>& f, const Tensor& x) {
  const Variable leaf = Variable::leaf(x);
  backward(sum(f(leaf)));
  return leaf.gradient().to_vector<double>();
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace haze::testing

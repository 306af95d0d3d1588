#include "haze/autograd/gradcheck.h"

#include <cmath>

#include "haze/autograd/ops.h"

namespace haze {
namespace {

/// sum(w * y) with w drawn from `generator`.
Variable contract(const Variable& y, Generator& generator) {
  return sum(y * normal(y.shape(), generator, 0, 1, Dtype::float64));
}

Variable evaluate(const DifferentiableFunction& f, const std::vector<Variable>& inputs, uint64_t seed) {
  const Variable y = f(inputs);
  if (y.dtype() != Dtype::float64) fail("gradcheck: the result is {}, not float64", name(y.dtype()));
  Generator generator(seed);
  return contract(y, generator);
}

/// The index of element `position` of `shape`, in row-major order, as "[1, 0]".
std::string index_text(int64_t position, const Shape& shape) {
  Shape index = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[axis] = position % shape[axis];
    position /= shape[axis];
  }
  return index.to_string();
}

/// Central differences for every element of input `which`.
std::vector<double> differences(const DifferentiableFunction& f, const std::vector<Tensor>& inputs,
                                size_t which, const GradcheckOptions& options) {
  std::vector<Variable> constants(inputs.begin(), inputs.end());
  const Tensor moved = clone(inputs[which]);
  constants[which] = Variable(moved);
  std::vector<double> result(static_cast<size_t>(moved.elements()));
  for (size_t i = 0; i < result.size(); ++i) {
    double& element = moved.data<double>()[i];
    const double before = element;
    element = before + options.step;
    const double above = evaluate(f, constants, options.seed).value().item();
    element = before - options.step;
    const double below = evaluate(f, constants, options.seed).value().item();
    element = before;
    result[i] = (above - below) / (2 * options.step);
  }
  return result;
}

void compare_input(size_t which, const Shape& shape, const std::vector<double>& analytic,
                   const std::vector<double>& numeric, const GradcheckOptions& options,
                   GradcheckResult& result) {
  for (size_t i = 0; i < numeric.size(); ++i) {
    const double error = std::abs(analytic[i] - numeric[i]);
    const double allowed = options.absolute_tolerance +
                           options.relative_tolerance * std::max(std::abs(analytic[i]), std::abs(numeric[i]));
    if (!(error <= result.largest_error)) result.largest_error = error;
    if (error <= allowed || !result.passed) continue;
    result.passed = false;
    result.message = fmt::format("input {}, element {}: the gradient is {}, the central difference {}", which,
                                 index_text(static_cast<int64_t>(i), shape), analytic[i], numeric[i]);
  }
}

}  // namespace

GradcheckResult gradcheck(const DifferentiableFunction& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options) {
  std::vector<Variable> leaves;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != Dtype::float64) {
      fail("gradcheck: input {} is {}, not float64", i, name(inputs[i].dtype()));
    }
    leaves.push_back(Variable::leaf(inputs[i]));
  }
  const Variable value = evaluate(f, leaves, options.seed);
  if (value.requires_gradient()) backward(value);
  GradcheckResult result;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& gradient = leaves[i].gradient();
    if (gradient.defined() && !(gradient.shape() == inputs[i].shape())) {
      fail("gradcheck: the gradient of input {} has shape {}, the input {}", i, gradient.shape().to_string(),
           inputs[i].shape().to_string());
    }
    const std::vector<double> analytic = gradient.defined()
                                             ? gradient.to_vector<double>()
                                             : std::vector<double>(static_cast<size_t>(inputs[i].elements()));
    compare_input(i, inputs[i].shape(), analytic, differences(f, inputs, i, options), options, result);
  }
  return result;
}

GradcheckResult gradcheck_second(const DifferentiableFunction& f, const std::vector<Tensor>& inputs,
                                 const GradcheckOptions& options) {
  const auto directional_derivative = [&](const std::vector<Variable>& given) {
    std::vector<Variable> leaves;
    for (const Variable& input : given) {
      leaves.push_back(input.requires_gradient() ? input : Variable::leaf(input.value()));
    }
    const bool analytic = !given.empty() && given[0].requires_gradient();
    const Variable value = evaluate(f, leaves, options.seed);
    // On the numeric side the first derivative comes from the rules' fast paths, which this compares too.
    const Gradients gradients = gradient(value, leaves, {.create_graph = analytic});
    Generator generator(options.seed, 1);
    Variable total = zeros({}, Dtype::float64);
    for (const Variable& g : gradients) total = total + contract(g, generator);
    return total;
  };
  return gradcheck(directional_derivative, inputs, options);
}

}  // namespace haze

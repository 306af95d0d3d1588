#pragma once

#include <functional>
#include <string>
#include <vector>

#include "haze/autograd/variable.h"

/// Gradients held against central differences, (f(x + h) - f(x - h)) / 2h, in float64.
namespace haze {

struct GradcheckOptions {
  double step = 1e-5;  // h: the rounding error 1e-16 / h and the truncation error h^2 are both about 1e-10
  double relative_tolerance = 1e-6;
  double absolute_tolerance = 1e-7;
  uint64_t seed = 0;  // of the weights that contract the outputs
};

struct GradcheckResult {
  bool passed = true;
  double largest_error = 0;  // |gradient - difference| over all elements of all inputs
  std::string message;       // the first input and element that differ by more than the tolerances
};

using DifferentiableFunction = std::function<Variable(const std::vector<Variable>&)>;

/// Compares the gradient of sum(w * f(inputs)), w random and fixed, with central differences for every
/// element of every input. f must be a function: what it draws at random it draws from a generator of its
/// own. The gradient is taken at the inputs as they are given, the differences at dense copies, so a strided
/// input also tests that strides are read. Throws Error where an input or the result is not float64.
GradcheckResult gradcheck(const DifferentiableFunction& f, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

/// The same for second derivatives: gradcheck of sum_i v_i * d(sum(w * f))/d(input_i), v random and fixed,
/// where the analytic side is a backward pass through a backward pass (create_graph).
GradcheckResult gradcheck_second(const DifferentiableFunction& f, const std::vector<Tensor>& inputs,
                                 const GradcheckOptions& options = {});

}  // namespace haze

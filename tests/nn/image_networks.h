#pragma once

#include <string>
#include <vector>

#include "nn/networks.h"

/// What the tests of networks of images share.
namespace haze::nn_test {

inline Tensor random_images(const Shape& shape, Dtype dtype = Dtype::float32, uint64_t seed = 5) {
  Generator generator(seed);
  return normal(shape, generator, 0, 1, dtype);
}

/// A parameter of a module by its name.
inline Variable parameter_of(Module& module, const std::string& name) {
  for (const NamedParameter& parameter : module.parameters()) {
    if (parameter.name == name) return *parameter.variable;
  }
  fail("no parameter is named {}", name);
}

/// The 3 x 3 convolution `name` of x; `stride` 2 halves it.
inline Variable conv_of(Module& module, const std::string& name, const Variable& x, int64_t stride = 1) {
  return conv2d(x, parameter_of(module, name + ".weight"), parameter_of(module, name + ".bias"), stride, 1);
}

/// The linear layer `name` of x.
inline Variable linear_of(Module& module, const std::string& name, const Variable& x) {
  return linear(x, parameter_of(module, name + ".weight"), parameter_of(module, name + ".bias"));
}

/// SiLU(norm(conv(x)) + time(e)) of the block `name`, e defined or not.
inline Variable conv_block_of(Module& module, const std::string& name, const Variable& x, const Variable& e,
                              int64_t stride, int64_t groups) {
  const Variable h =
      group_norm(conv_of(module, name + ".conv", x, stride), parameter_of(module, name + ".norm.weight"),
                 parameter_of(module, name + ".norm.bias"), groups, 1e-5);
  if (!e.defined()) return silu(h);
  const Variable time = linear_of(module, name + ".time", e);
  return silu(h + unsqueeze(unsqueeze(time, 2), 3));
}

/// Row i of a batch.
inline Tensor row(const Tensor& x, int64_t i) {
  return contiguous(slice(x, 0, i, i + 1));
}

/// Whether each example's result is that of the example alone, bit for bit.
template <typename Network>
bool rows_are_independent(const Network& network, const Tensor& x, const Tensor& t) {
  const Tensor all = network.forward(x, t).value();
  for (int64_t i = 0; i < x.size(0); ++i) {
    if (values(row(all, i)) != values(network.forward(row(x, i), row(t, i)))) return false;
  }
  return true;
}

/// The first parameter whose gradient is missing or zero everywhere after backward(sum(y^2)); empty: none.
inline std::string without_gradient(Module& module, const Variable& y) {
  module.clear_gradients();
  backward(sum(square(y)));
  for (const NamedParameter& parameter : module.parameters()) {
    const Tensor& gradient = parameter.variable->gradient();
    if (!gradient.defined()) return parameter.name;
    double largest = 0;
    for (const double g : gradient.to_vector<double>()) largest = std::max(largest, std::abs(g));
    if (largest == 0) return parameter.name;
  }
  return {};
}

}  // namespace haze::nn_test

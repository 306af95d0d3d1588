#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "haze/nn/optimizer.h"

/// What the tests of optimizers share: a module of two parameters, and each optimizer beside its formula.
namespace haze::nn_test {

inline constexpr int kWeightElements = 12, kBiasElements = 3;

/// A matrix and a vector of parameters.
class Pair : public Module {
 public:
  explicit Pair(Dtype dtype = Dtype::float32) {
    std::mt19937 random(1);
    add_parameter("weight", weight, numbers(random, {4, 3}, dtype));
    add_parameter("bias", bias, numbers(random, {3}, dtype));
  }

  static Tensor numbers(std::mt19937& random, const Shape& shape, Dtype dtype) {
    Tensor tensor(shape, dtype);
    for (int64_t i = 0; i < tensor.elements(); ++i) {
      const double value = static_cast<double>(random()) / 4294967296.0 * 2 - 1;
      if (dtype == Dtype::float64) tensor.data<double>()[i] = value;
      if (dtype == Dtype::float32) tensor.data<float>()[i] = static_cast<float>(value);
    }
    return tensor;
  }

  /// Gives both parameters random gradients; the bias none where `skip_bias`.
  void draw_gradients(std::mt19937& random, bool skip_bias = false) {
    clear_gradients();
    backward(weight, numbers(random, weight.shape(), weight.dtype()));
    const Tensor bias_gradient = numbers(random, bias.shape(), bias.dtype());
    if (!skip_bias) backward(bias, bias_gradient);
  }

  Variable weight, bias;
};

/// One parameter element and its state, in float64, stepped by the formula of its paper.
struct Element {
  double x = 0, first = 0, second = 0;
  int steps = 0;
};

struct Step {
  double gradient, learning_rate, decay;
};

inline void adamw_by_paper(Element& e, const Step& s) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.98, kEpsilon = 1e-6;
  ++e.steps;
  e.first = kBeta1 * e.first + (1 - kBeta1) * s.gradient;
  e.second = kBeta2 * e.second + (1 - kBeta2) * s.gradient * s.gradient;
  const double first = e.first / (1 - std::pow(kBeta1, e.steps));
  const double second = e.second / (1 - std::pow(kBeta2, e.steps));
  e.x -= s.learning_rate * (first / (std::sqrt(second) + kEpsilon) + s.decay * e.x);
}

inline void adagrad_by_paper(Element& e, const Step& s) {
  if (e.steps++ == 0) e.second = 0.5;
  e.second += s.gradient * s.gradient;
  e.x -= s.learning_rate * (s.gradient / (std::sqrt(e.second) + 1e-6) + s.decay * e.x);
}

inline void sgd_by_paper(Element& e, const Step& s) {
  e.first = 0.8 * e.first + s.gradient;
  e.x -= s.learning_rate * (e.first + s.decay * e.x);
}

inline void plain_sgd_by_paper(Element& e, const Step& s) {
  e.x -= s.learning_rate * (s.gradient + s.decay * e.x);
}

struct Kind {
  const char* name;
  std::unique_ptr<Optimizer> (*make)(const std::vector<NamedParameter>&);
  std::unique_ptr<Optimizer> (*make_of_groups)(const std::vector<ParameterGroup>&);
  void (*by_paper)(Element&, const Step&);
};

inline constexpr double kWeightDecay = 0.1;

template <typename Parameters>
std::unique_ptr<Optimizer> make_adamw(const Parameters& parameters) {
  return std::make_unique<AdamW>(
      parameters,
      AdamWHyperparameters{.beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .weight_decay = kWeightDecay});
}

template <typename Parameters>
std::unique_ptr<Optimizer> make_adagrad(const Parameters& parameters) {
  return std::make_unique<Adagrad>(
      parameters, AdagradHyperparameters{.epsilon = 1e-6, .initial_sum = 0.5, .weight_decay = kWeightDecay});
}

template <typename Parameters>
std::unique_ptr<Optimizer> make_sgd(const Parameters& parameters) {
  return std::make_unique<Sgd>(parameters, SgdHyperparameters{.momentum = 0.8, .weight_decay = kWeightDecay});
}

template <typename Parameters>
std::unique_ptr<Optimizer> make_plain_sgd(const Parameters& parameters) {
  return std::make_unique<Sgd>(parameters, SgdHyperparameters{.weight_decay = kWeightDecay});
}

using List = std::vector<NamedParameter>;
using Groups = std::vector<ParameterGroup>;

inline const Kind kKinds[] = {
    {"adamw", make_adamw<List>, make_adamw<Groups>, adamw_by_paper},
    {"adagrad", make_adagrad<List>, make_adagrad<Groups>, adagrad_by_paper},
    {"sgd", make_sgd<List>, make_sgd<Groups>, sgd_by_paper},
    {"sgd without momentum", make_plain_sgd<List>, make_plain_sgd<Groups>, plain_sgd_by_paper},
};

inline std::vector<Element> elements_of(const Pair& pair) {
  std::vector<Element> elements;
  for (const auto* variable : {&pair.weight, &pair.bias}) {
    for (const double x : variable->value().to_vector<double>()) elements.push_back({.x = x});
  }
  return elements;
}

inline std::string all_bytes(const NamedTensors& tensors) {
  std::string bytes;
  for (const auto& [name, tensor] : tensors) {
    bytes.append(name).append(static_cast<const char*>(tensor.raw()),
                              static_cast<size_t>(tensor.elements()) * size_of(tensor.dtype()));
  }
  return bytes;
}

}  // namespace haze::nn_test

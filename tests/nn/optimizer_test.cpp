#include "haze/nn/optimizer.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <random>

#include <doctest/doctest.h>

#include "haze/nn/safetensors.h"

#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::error_of;
using nn_test::TemporaryFolder;

constexpr int kWeightElements = 12, kBiasElements = 3;

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

void adamw_by_paper(Element& e, const Step& s) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.98, kEpsilon = 1e-6;
  ++e.steps;
  e.first = kBeta1 * e.first + (1 - kBeta1) * s.gradient;
  e.second = kBeta2 * e.second + (1 - kBeta2) * s.gradient * s.gradient;
  const double first = e.first / (1 - std::pow(kBeta1, e.steps));
  const double second = e.second / (1 - std::pow(kBeta2, e.steps));
  e.x -= s.learning_rate * (first / (std::sqrt(second) + kEpsilon) + s.decay * e.x);
}

void adagrad_by_paper(Element& e, const Step& s) {
  if (e.steps++ == 0) e.second = 0.5;
  e.second += s.gradient * s.gradient;
  e.x -= s.learning_rate * (s.gradient / (std::sqrt(e.second) + 1e-6) + s.decay * e.x);
}

void sgd_by_paper(Element& e, const Step& s) {
  e.first = 0.8 * e.first + s.gradient;
  e.x -= s.learning_rate * (e.first + s.decay * e.x);
}

void plain_sgd_by_paper(Element& e, const Step& s) {
  e.x -= s.learning_rate * (s.gradient + s.decay * e.x);
}

struct Kind {
  const char* name;
  std::unique_ptr<Optimizer> (*make)(Module&);
  void (*by_paper)(Element&, const Step&);
};

constexpr double kWeightDecay = 0.1;

const Kind kKinds[] = {
    {"adamw",
     [](Module& module) -> std::unique_ptr<Optimizer> {
       return std::make_unique<AdamW>(
           module.parameters(),
           AdamWHyperparameters{.beta1 = 0.9, .beta2 = 0.98, .epsilon = 1e-6, .weight_decay = kWeightDecay});
     },
     adamw_by_paper},
    {"adagrad",
     [](Module& module) -> std::unique_ptr<Optimizer> {
       return std::make_unique<Adagrad>(
           module.parameters(),
           AdagradHyperparameters{.epsilon = 1e-6, .initial_sum = 0.5, .weight_decay = kWeightDecay});
     },
     adagrad_by_paper},
    {"sgd",
     [](Module& module) -> std::unique_ptr<Optimizer> {
       return std::make_unique<Sgd>(module.parameters(),
                                    SgdHyperparameters{.momentum = 0.8, .weight_decay = kWeightDecay});
     },
     sgd_by_paper},
    {"sgd without momentum",
     [](Module& module) -> std::unique_ptr<Optimizer> {
       return std::make_unique<Sgd>(module.parameters(), SgdHyperparameters{.weight_decay = kWeightDecay});
     },
     plain_sgd_by_paper},
};

std::vector<Element> elements_of(const Pair& pair) {
  std::vector<Element> elements;
  for (const auto* variable : {&pair.weight, &pair.bias}) {
    for (const double x : variable->value().to_vector<double>()) elements.push_back({.x = x});
  }
  return elements;
}

std::string all_bytes(const NamedTensors& tensors) {
  std::string bytes;
  for (const auto& [name, tensor] : tensors) {
    bytes.append(name).append(static_cast<const char*>(tensor.raw()),
                              static_cast<size_t>(tensor.elements()) * size_of(tensor.dtype()));
  }
  return bytes;
}

}  // namespace

TEST_CASE("optimizers follow the formulas of their papers, and only matrices decay") {
  for (const Kind& kind : kKinds) {
    for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
      CAPTURE(kind.name);
      CAPTURE(name(dtype));
      Pair pair(dtype);
      const auto optimizer = kind.make(pair);
      std::vector<Element> expected = elements_of(pair);
      std::mt19937 random(2);
      for (int step = 1; step <= 8; ++step) {
        const bool skip_bias = step == 3 || step == 4;
        const double learning_rate = 0.05 / step, scale = 0.7;
        pair.draw_gradients(random, skip_bias);
        std::vector<double> gradients = pair.weight.gradient().to_vector<double>();
        if (!skip_bias) {
          for (const double g : pair.bias.gradient().to_vector<double>()) gradients.push_back(g);
        }
        for (size_t i = 0; i < gradients.size(); ++i) {
          const double decay = i < kWeightElements ? kWeightDecay : 0;
          kind.by_paper(expected[i], {scale * gradients[i], learning_rate, decay});
        }
        optimizer->step(learning_rate, scale);
      }
      const std::vector<Element> actual = elements_of(pair);
      REQUIRE(actual.size() == kWeightElements + kBiasElements);
      const double tolerance = dtype == Dtype::float32 ? 2e-6 : 1e-12;
      for (size_t i = 0; i < actual.size(); ++i) CHECK(std::abs(actual[i].x - expected[i].x) < tolerance);
    }
  }
}

TEST_CASE("optimizers leave a parameter without a gradient and its state alone") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair pair;
    const auto optimizer = kind.make(pair);
    std::mt19937 random(3);
    pair.draw_gradients(random);
    optimizer->step(0.1);
    NamedTensors bias_state;
    for (const auto& [name, tensor] : optimizer->state()) {
      if (name.starts_with("bias")) bias_state.push_back({name, tensor});
    }
    bias_state.push_back({"bias", pair.bias.value()});
    const std::string before = all_bytes(bias_state), weight_before = all_bytes({{"", pair.weight.value()}});
    pair.draw_gradients(random, true);
    optimizer->step(0.1);
    CHECK(all_bytes(bias_state) == before);
    CHECK(all_bytes({{"", pair.weight.value()}}) != weight_before);
  }
}

TEST_CASE("optimizers go on from a state in a file with the same bits as without a stop") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    const TemporaryFolder folder;
    Pair straight;
    const auto straight_optimizer = kind.make(straight);
    std::mt19937 random(4);
    for (int step = 1; step <= 10; ++step) {
      straight.draw_gradients(random, step == 2);
      straight_optimizer->step(0.01 * step);
      if (step == 5) {
        write_safetensors(folder / "optimizer", straight_optimizer->state());
        save_parameters(straight, folder / "model");
      }
    }
    Pair resumed;
    load_parameters(resumed, folder / "model");
    const auto resumed_optimizer = kind.make(resumed);
    resumed_optimizer->load_state(read_safetensors(folder / "optimizer").tensors);
    std::mt19937 same_random(4);
    for (int step = 1; step <= 10; ++step) {
      resumed.draw_gradients(same_random, step == 2);
      if (step > 5) resumed_optimizer->step(0.01 * step);
    }
    CHECK(all_bytes(parameter_tensors(resumed)) == all_bytes(parameter_tensors(straight)));
    CHECK(all_bytes(resumed_optimizer->state()) == all_bytes(straight_optimizer->state()));
  }
}

TEST_CASE("optimizer states have the names of their parameters, and another optimizer's is refused") {
  Pair pair;
  AdamW adamw(pair.parameters());
  std::vector<std::string> names;
  for (const auto& tensor : adamw.state()) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"weight.first_moment", "weight.second_moment", "weight.steps",
                                          "bias.first_moment", "bias.second_moment", "bias.steps"});
  Adagrad adagrad(pair.parameters());
  CHECK(error_of([&] { adagrad.load_state(adamw.state(), "optimizer.safetensors"); }) ==
        "optimizer.safetensors does not fit: it lacks weight.sum_of_squares, bias.sum_of_squares; nothing "
        "takes its weight.first_moment, weight.second_moment, weight.steps, bias.first_moment, "
        "bias.second_moment, bias.steps");
}

TEST_CASE("optimizers refuse hyperparameters and rates that make no sense") {
  Pair pair;
  CHECK_THROWS_AS(AdamW(pair.parameters(), {.beta1 = 1}), Error);
  CHECK_THROWS_AS(AdamW(pair.parameters(), {.beta2 = -0.1}), Error);
  CHECK_THROWS_AS(AdamW(pair.parameters(), {.epsilon = 0}), Error);
  CHECK_THROWS_AS(AdamW(pair.parameters(), {.weight_decay = -1}), Error);
  CHECK_THROWS_AS(Adagrad(pair.parameters(), {.initial_sum = -1}), Error);
  CHECK_THROWS_AS(Sgd(pair.parameters(), {.momentum = NAN}), Error);
  Sgd sgd(pair.parameters());
  CHECK_THROWS_WITH_AS(sgd.step(NAN),
                       "the optimizer's learning rate must be finite and not negative, got nan", Error);
  CHECK_THROWS_AS(sgd.step(-1), Error);
  CHECK_THROWS_AS(sgd.step(0.1, INFINITY), Error);
}

TEST_CASE("clip_scale brings the norm of all gradients together down to the largest allowed") {
  Pair pair;
  double norm = -1;
  CHECK(clip_scale(pair.parameters(), 1, &norm) == 1);
  CHECK(norm == 0);
  backward(pair.weight, full({4, 3}, 2));
  backward(pair.bias, full({3}, -4));
  const double expected = std::sqrt(12 * 4 + 3 * 16);
  CHECK(clip_scale(pair.parameters(), 2, &norm) == doctest::Approx(2 / (expected + 1e-6)).epsilon(1e-12));
  CHECK(norm == doctest::Approx(expected).epsilon(1e-12));
  CHECK(clip_scale(pair.parameters(), 100) == 1);
  CHECK(clip_scale(pair.parameters(), 0) == 1);
  CHECK_THROWS_AS(clip_scale(pair.parameters(), -1), Error);
}

TEST_CASE("clip_scale names the parameter whose gradient is not finite") {
  Pair pair;
  backward(pair.weight, full({4, 3}, 2));
  backward(pair.bias, Tensor::from<float>({0, INFINITY, 0}, {3}));
  CHECK_THROWS_WITH_AS(
      clip_scale(pair.parameters(), 1),
      "the norm of the gradients is inf: the gradient of bias holds a number that is not finite", Error);
}

}  // namespace haze

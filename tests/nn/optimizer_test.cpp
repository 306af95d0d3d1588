#include "haze/nn/optimizer.h"

#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "haze/engine/guarded_runtime.h"
#include "haze/nn/safetensors.h"

#include "nn/optimizers.h"
#include "nn/temporary_folder.h"

namespace haze {
namespace {

using nn_test::all_bytes;
using nn_test::Element;
using nn_test::elements_of;
using nn_test::error_of;
using nn_test::kBiasElements;
using nn_test::Kind;
using nn_test::kKinds;
using nn_test::kWeightDecay;
using nn_test::kWeightElements;
using nn_test::Pair;
using nn_test::TemporaryFolder;

}  // namespace

TEST_CASE("optimizers follow the formulas of their papers, and only matrices decay") {
  for (const Kind& kind : kKinds) {
    for (const Dtype dtype : {Dtype::float32, Dtype::float64}) {
      CAPTURE(kind.name);
      CAPTURE(name(dtype));
      Pair pair(dtype);
      const auto optimizer = kind.make(pair.parameters());
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
    const auto optimizer = kind.make(pair.parameters());
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
    const auto straight_optimizer = kind.make(straight.parameters());
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
    const auto resumed_optimizer = kind.make(resumed.parameters());
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

TEST_CASE("AdamW counts a parameter's own steps, those with a scale that is not finite for none") {
  const auto number = [](double value) { return full({}, value, Dtype::float64); };
  // Steps of weight alone, bias alone and both; the first one's scale may be no number.
  const auto trained = [&](double first_scale, bool with_first) {
    Pair pair;
    AdamW adamw(pair.parameters());
    const auto step = [&](bool weight, bool bias, double scale) {
      pair.weight.clear_gradient();
      pair.bias.clear_gradient();
      if (weight) backward(pair.weight, full(pair.weight.shape(), 2));
      if (bias) backward(pair.bias, full(pair.bias.shape(), -3));
      adamw.step(0.1, number(scale));
    };
    if (with_first) step(true, false, first_scale);
    step(false, true, 1);
    step(true, true, 0.5);
    return all_bytes(adamw.state());
  };
  CHECK(trained(std::nan(""), true) == trained(1, false));
  CHECK(trained(1, true) != trained(1, false));
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

TEST_CASE("optimizers step with a clipping scale on the device as with the same number on the host") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair by_host, by_device;
    const std::vector<ParameterGroup> host_groups(1, {by_host.parameters()});
    const std::vector<ParameterGroup> device_groups(1, {by_device.parameters()});
    const auto host_optimizer = kind.make_of_groups(host_groups);
    const auto device_optimizer = kind.make_of_groups(device_groups);
    CHECK_THROWS_WITH_AS(device_clip_scale(device_groups, 1),
                         "device_clip_scale: no parameter has a gradient", Error);
    std::mt19937 random(6), same_random(6);
    for (const double max_norm : {0.5, 0.0, 100.0}) {
      by_host.draw_gradients(random);
      by_device.draw_gradients(same_random);
      host_optimizer->step(0.1, clip_scale(host_groups, max_norm, nullptr, 0.25));
      device_optimizer->step(0.1, device_clip_scale(device_groups, max_norm, 0.25));
    }
    CHECK(all_bytes(parameter_tensors(by_device)) == all_bytes(parameter_tensors(by_host)));
    CHECK(all_bytes(device_optimizer->state()) == all_bytes(host_optimizer->state()));
    CHECK_THROWS_WITH_AS(device_optimizer->step(0.1, Tensor()),
                         "the optimizer's gradient scale is undefined tensor, not one real number", Error);
    CHECK_THROWS_AS(device_optimizer->step(0.1, ones({1})), Error);
    CHECK_THROWS_AS(device_optimizer->step(0.1, ones({}, Dtype::int32)), Error);
  }
}

TEST_CASE("a step with learning rate and scale on the device is the step with the numbers on the host") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair by_host, by_device;
    const auto groups = [](Pair& pair) {
      std::vector<ParameterGroup> result(2);
      result[0] = {{pair.parameters()[0]}, 0.5};
      result[1] = {{pair.parameters()[1]}, 1};
      return result;
    };
    const auto host_optimizer = kind.make_of_groups(groups(by_host));
    const auto device_optimizer = kind.make_of_groups(groups(by_device));
    const Tensor rate = zeros({}, Dtype::float64), scale = zeros({}, Dtype::float64);
    std::mt19937 random(6), same_random(6);
    for (int step = 1; step <= 6; ++step) {
      by_host.draw_gradients(random, step == 3);  // the bias is a step behind from then on
      by_device.draw_gradients(same_random, step == 3);
      fill(rate, 0.1 * step), fill(scale, 0.75 / step);
      host_optimizer->step(rate.item(), scale.item());
      device_optimizer->step(rate, scale);
    }
    CHECK(all_bytes(parameter_tensors(by_device)) == all_bytes(parameter_tensors(by_host)));
    CHECK(all_bytes(device_optimizer->state()) == all_bytes(host_optimizer->state()));
    CHECK_THROWS_WITH_AS(device_optimizer->step(ones({2}), scale),
                         "the optimizer's learning rate is float32 [2]: 1 1, not one real number", Error);
  }
}

TEST_CASE("a scale on the device that is not finite leaves parameters and state as they are") {
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair pair;
    const auto optimizer = kind.make(pair.parameters());
    std::mt19937 random(7);
    for (const double scale : {std::nan(""), 1.0, double{INFINITY}, -double{INFINITY}}) {
      pair.draw_gradients(random);
      const std::string before = all_bytes(parameter_tensors(pair)) + all_bytes(optimizer->state());
      optimizer->step(0.1, full({}, scale, Dtype::float64));
      const std::string after = all_bytes(parameter_tensors(pair)) + all_bytes(optimizer->state());
      CHECK((before == after) == !std::isfinite(scale));
    }
  }
}

TEST_CASE("clipping and stepping wait for no device") {
  auto& device = dynamic_cast<GuardedRuntime&>(runtime(Device::guarded));
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair pair, by_host;
    pair.to(Device::guarded);
    const std::vector<ParameterGroup> groups(1, {pair.parameters()});
    const auto optimizer = kind.make_of_groups(groups), host_optimizer = kind.make(by_host.parameters());
    std::mt19937 random(8);
    by_host.draw_gradients(random);
    backward(pair.weight, to(by_host.weight.gradient(), Device::guarded));
    backward(pair.bias, to(by_host.bias.gradient(), Device::guarded));
    const int64_t before = device.waits();
    Tensor norm;
    for (int step = 0; step < 3; ++step) optimizer->step(0.1, device_clip_scale(groups, 0.5, 2, &norm));
    CHECK(device.waits() == before);
    double host_norm = 0;
    for (int step = 0; step < 3; ++step)
      host_optimizer->step(0.1, clip_scale(by_host.parameters(), 0.5, &host_norm, 2));
    CHECK(norm.item() == host_norm);
    CHECK(pair.weight.value().to_vector<float>() == by_host.weight.value().to_vector<float>());
    CHECK(pair.bias.value().to_vector<float>() == by_host.bias.value().to_vector<float>());
    CHECK(device.waits() == before + 3);
  }
}

TEST_CASE("clip_scale clips the mean of gradients that several backward passes have added up") {
  Pair pair;
  for (int pass = 0; pass < 4; ++pass) backward(pair.weight, full({4, 3}, 2));
  double norm = 0;
  CHECK(clip_scale(pair.parameters(), 0, &norm, 0.25) == 0.25);
  CHECK(norm == doctest::Approx(std::sqrt(12 * 4)).epsilon(1e-12));
  const double scale = clip_scale(pair.parameters(), 3, nullptr, 0.25);
  CHECK(scale * std::sqrt(12 * 64) == doctest::Approx(3).epsilon(1e-6));
  CHECK_THROWS_WITH_AS(clip_scale(pair.parameters(), 1, nullptr, -1),
                       "the gradients' scale must be finite and not negative, got -1", Error);
}

TEST_CASE("two backward passes and one step with scale 1/2 are the step of the mean of their losses") {
  std::mt19937 random(5);
  const Tensor first = Pair::numbers(random, {5, 3}, Dtype::float64);
  const Tensor second = Pair::numbers(random, {5, 3}, Dtype::float64);
  const auto loss = [](const Pair& pair, const Tensor& x) {
    return mean(square(linear(Variable(x), pair.weight) + sum(square(pair.bias))));
  };
  for (const Kind& kind : kKinds) {
    CAPTURE(kind.name);
    Pair accumulated(Dtype::float64), at_once(Dtype::float64);
    const auto one = kind.make(accumulated.parameters()), other = kind.make(at_once.parameters());
    for (int step = 1; step <= 3; ++step) {
      accumulated.clear_gradients();
      backward(loss(accumulated, first));
      backward(loss(accumulated, second));
      one->step(0.05, 0.5);
      at_once.clear_gradients();
      backward(loss(at_once, concat(std::vector<Tensor>{first, second}, 0)));
      other->step(0.05);
    }
    const std::vector<Element> a = elements_of(accumulated), b = elements_of(at_once);
    for (size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i].x - b[i].x) < 1e-14);
    CHECK(std::abs(a[0].x - elements_of(Pair(Dtype::float64))[0].x) > 1e-3);
  }
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

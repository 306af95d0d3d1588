#include "haze/diffusion/gaussian/wgan_gp.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/nn/feed_forward.h"
#include "haze/nn/optimizer.h"

#include "nn/networks.h"

namespace haze {
namespace {

Critic critic_of(const FeedForward& network) {
  return [&network](const Variable& x) { return reshape(network.forward(x), {x.size(0)}); };
}

// ||grad critic|| of each row by central differences.
std::vector<double> slopes_by_differences(const Critic& critic, const Tensor& x) {
  constexpr double kStep = 1e-6;
  const int64_t width = x.size(1);
  std::vector<double> squares(static_cast<size_t>(x.size(0)));
  for (int64_t j = 0; j < width; ++j) {
    const auto values_at = [&](double shift) {
      std::vector<double> numbers = x.to_vector<double>();
      for (size_t at = static_cast<size_t>(j); at < numbers.size(); at += static_cast<size_t>(width))
        numbers[at] += shift;
      return nn_test::values(critic(Tensor::from(numbers, x.shape())));
    };
    const std::vector<double> above = values_at(kStep), below = values_at(-kStep);
    for (size_t i = 0; i < squares.size(); ++i) {
      const double slope = (above[i] - below[i]) / (2 * kStep);
      squares[i] += slope * slope;
    }
  }
  for (double& square : squares) square = std::sqrt(square);
  return squares;
}

}  // namespace

TEST_CASE("an interpolate lies between its real and its fake example, by a share of its own") {
  const Tensor real = Tensor::from(std::vector<double>{1, 2, 3, 4}, {2, 2});
  const Tensor fake = Tensor::from(std::vector<double>{-1, 0, 7, 8}, {2, 2});
  const Tensor epsilon = Tensor::from(std::vector<double>{0.25, 1}, {2});
  CHECK(interpolates(real, fake, epsilon).to_vector<double>() == std::vector<double>{-0.5, 0.5, 3, 4});
}

TEST_CASE("the penalty takes the norm of each example's gradient by itself") {
  const Tensor x = Tensor::from(std::vector<double>{3, 4, 0.6, 0, 0, 0}, {3, 2});
  // Of |x|^2 / 2 the gradient is x: norms 5, 0.6 and 0.
  const auto [penalty, mean_norm] =
      gradient_penalty([](const Variable& at) { return 0.5 * sum(square(at), {1}); }, x);
  CHECK(penalty.value().item() == doctest::Approx((16 + 0.16 + 1) / 3).epsilon(1e-5));
  CHECK(mean_norm.item() == doctest::Approx(5.6 / 3).epsilon(1e-5));
  const NoGradient off;
  CHECK_THROWS_WITH_AS(gradient_penalty([](const Variable& at) { return sum(at, {1}); }, x),
                       "gradient_penalty: it holds a gradient, and the tape is off", Error);
}

TEST_CASE("the penalty of a critic of a slope of 0 everywhere has a finite gradient") {
  const Variable weight = Variable::leaf(zeros({1, 2}, Dtype::float64));
  const Critic flat = [&](const Variable& x) { return reshape(linear(x, weight), {x.size(0)}); };
  const auto [penalty, mean_norm] = gradient_penalty(flat, ones({4, 2}, Dtype::float64));
  CHECK(penalty.value().item() == doctest::Approx(1).epsilon(1e-5));
  backward(penalty);
  for (const double number : weight.gradient().to_vector<double>()) CHECK(std::isfinite(number));
}

TEST_CASE("value and gradient of the penalty of a network agree with central differences") {
  for (const HiddenActivation activation : {HiddenActivation::leaky_relu, HiddenActivation::silu}) {
    Generator generator(1);
    FeedForward network({3, 6, 5, 1}, activation, generator);
    network.to(Dtype::float64);
    nn_test::randomise(network, 2, 0.6);
    const Tensor x = normal({4, 3}, generator, 0, 1, Dtype::float64);
    const std::vector<double> slopes = slopes_by_differences(critic_of(network), x);
    double expected = 0;
    for (const double slope : slopes) expected += (slope - 1) * (slope - 1) / 4;
    CHECK(gradient_penalty(critic_of(network), x).penalty.value().item() ==
          doctest::Approx(expected).epsilon(1e-7));

    backward(gradient_penalty(critic_of(network), x).penalty);
    constexpr double kStep = 1e-5;
    for (const NamedParameter& parameter : network.parameters()) {
      CAPTURE(parameter.name);
      const Tensor value = parameter.variable->value();
      const std::vector<double> start = value.to_vector<double>();
      std::vector<double> differences;
      for (size_t i = 0; i < start.size(); ++i) {
        const auto penalty_at = [&](double shift) {
          std::vector<double> moved = start;
          moved[i] += shift;
          copy_into(value, Tensor::from(moved, value.shape()));
          return gradient_penalty(critic_of(network), x).penalty.value().item();
        };
        differences.push_back((penalty_at(kStep) - penalty_at(-kStep)) / (2 * kStep));
      }
      copy_into(value, Tensor::from(start, value.shape()));
      // The penalty does not depend on the last bias, nor, of leaky ReLU, on any: those gradients may be
      // missing.
      const Tensor& gradient = parameter.variable->gradient();
      const std::vector<double> ours =
          gradient.defined() ? gradient.to_vector<double>() : std::vector<double>(start.size());
      CHECK(nn_test::largest_difference(ours, differences) < 1e-7);
      if (parameter.name.ends_with("weight")) CHECK(gradient.defined());
    }
  }
}

TEST_CASE("on the line the critic's difference of means approaches the Wasserstein distance") {
  const nn_test::ThreadScope one(1);
  constexpr double kLambda = 10;
  // On the line a critic that begins with the wrong sign keeps it: between slopes -1 and 1 lies 0, whose
  // penalty is lambda. This one begins with the right one.
  Generator generator(4);
  const Tensor real = normal({128, 1}, generator, 2, 0.5), fake = normal({128, 1}, generator, 0, 1);
  // On the line W_1 is the mean distance of the sorted points.
  std::vector<double> sorted_real = real.to_vector<double>(), sorted_fake = fake.to_vector<double>();
  std::sort(sorted_real.begin(), sorted_real.end());
  std::sort(sorted_fake.begin(), sorted_fake.end());
  double distance = 0;
  for (size_t i = 0; i < 128; ++i) distance += std::abs(sorted_real[i] - sorted_fake[i]) / 128;

  FeedForward network({1, 32, 32, 1}, HiddenActivation::leaky_relu, generator);
  const Critic critic = critic_of(network);
  AdamW optimizer(network.parameters(), {.beta1 = 0, .beta2 = 0.9, .weight_decay = 0});
  double difference = 0;
  for (int step = 0; step < 400; ++step) {
    const Tensor x_hat = interpolates(real, fake, uniform({128}, generator));
    const Variable gap = critic_difference(critic(real), critic(fake));
    network.clear_gradients();
    backward(kLambda * gradient_penalty(critic, x_hat).penalty - gap);
    optimizer.step(5e-3 * (1 - step / 400.0));
    difference = gap.value().item();
  }
  // The penalty lets the slope exceed 1: s W - lambda (s - 1)^2 is largest at s = 1 + W / (2 lambda).
  MESSAGE("difference ", difference, ", Wasserstein distance ", distance, ", with the best slope ",
          distance * (1 + distance / (2 * kLambda)));
  CHECK(difference == doctest::Approx(distance * (1 + distance / (2 * kLambda))).epsilon(0.05));
}

}  // namespace haze

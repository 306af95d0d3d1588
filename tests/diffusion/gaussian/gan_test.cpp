#include "haze/diffusion/gaussian/gan.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/nn/optimizer.h"

#include "autograd/gradients.h"

namespace haze {
namespace {

// Counts of four outcomes, of ten examples each: so many times each is in a batch.
constexpr int kReal[4] = {3, 4, 1, 2}, kFake[4] = {1, 1, 5, 3};

Tensor examples_of(const int (&counts)[4]) {
  std::vector<int32_t> examples;
  for (int32_t outcome = 0; outcome < 4; ++outcome) examples.insert(examples.end(), counts[outcome], outcome);
  return Tensor::from(examples, {std::ssize(examples)});
}

double jensen_shannon_divergence() {
  double sum = 0;
  for (int i = 0; i < 4; ++i) {
    const double real = kReal[i] / 10.0, fake = kFake[i] / 10.0, mixture = (real + fake) / 2;
    sum += 0.5 * (real * std::log(real / mixture) + fake * std::log(fake / mixture));
  }
  return sum;
}

/// A table of one logit for each outcome: the discriminator of a discrete toy.
class Table : public Module {
 public:
  Table() { add_parameter("logits", logits_, zeros({4, 1}, Dtype::float64)); }
  Variable loss() const {
    return discriminator_loss(embedding(logits_, examples_of(kReal)), embedding(logits_, examples_of(kFake)));
  }
  std::vector<double> logits() const { return logits_.value().to_vector<double>(); }

 private:
  Variable logits_;
};

/// Data N(kMean, 1), a generator z + theta, and the best discriminator of theta: its logit is log p_data /
/// p_g.
constexpr double kMean = 1.5;
double gradient_by_theta(Variable (*loss)(const Variable&), double theta) {
  Generator generator(1);
  const Variable parameter = Variable::leaf(full({1}, theta, Dtype::float64));
  const Variable x = parameter + Variable(normal({2000}, generator, 0, 1, Dtype::float64));
  const Variable logits = x * (kMean - theta) + (theta * theta - kMean * kMean) / 2;
  return gradient(loss(logits), {parameter})[0].value().item();
}

}  // namespace

TEST_CASE("a tabular discriminator learns log p_data / p_g, and its loss is log 4 - 2 JSD (Theorem 1)") {
  Table table;
  Sgd optimizer(table.parameters(), SgdHyperparameters{.momentum = 0.9});
  CHECK(table.loss().value().item() == doctest::Approx(std::log(4)).epsilon(1e-12));
  for (int step = 0; step < 1000; ++step) {
    table.clear_gradients();
    backward(table.loss());
    optimizer.step(1.0);
  }
  CHECK(table.loss().value().item() ==
        doctest::Approx(std::log(4) - 2 * jensen_shannon_divergence()).epsilon(1e-10));
  for (size_t i = 0; i < 4; ++i)
    CHECK(table.logits()[i] ==
          doctest::Approx(std::log(static_cast<double>(kReal[i]) / kFake[i])).epsilon(1e-6));
}

TEST_CASE("both generator losses rest at p_g = p_data alone, and pull towards it from both sides") {
  for (auto* loss : {saturating_generator_loss, non_saturating_generator_loss}) {
    CHECK(gradient_by_theta(loss, kMean) == 0);
    for (const double theta : {-2.0, 0.0, 1.4}) CHECK(gradient_by_theta(loss, theta) < 0);
    for (const double theta : {1.6, 3.0, 5.0}) CHECK(gradient_by_theta(loss, theta) > 0);
  }
}

TEST_CASE("far from the data the saturating loss has no gradient, and the other one does") {
  constexpr double kFar = kMean - 8;
  CHECK(std::abs(gradient_by_theta(saturating_generator_loss, kFar)) < 1e-4);
  CHECK(gradient_by_theta(non_saturating_generator_loss, kFar) == doctest::Approx(-8).epsilon(1e-3));
}

TEST_CASE(
    "the losses of a GAN stay finite for a discriminator that is sure, and are what they say elsewhere") {
  const Tensor real = Tensor::from(std::vector<float>{200, 1, -0.5F}, {3});
  const Tensor fake = Tensor::from(std::vector<float>{-200, 0.3F, 2}, {3});
  const auto minus_log = [](double x) { return std::log1p(std::exp(-x)); };  // -log sigmoid(x)
  const double of_real = (minus_log(1) + minus_log(-0.5)) / 3,
               of_fake = (minus_log(-0.3) + minus_log(-2)) / 3;
  CHECK(discriminator_loss(real, fake).value().item() == doctest::Approx(of_real + of_fake).epsilon(1e-6));
  CHECK(saturating_generator_loss(fake).value().item() == doctest::Approx(-of_fake).epsilon(1e-6));
  CHECK(non_saturating_generator_loss(fake).value().item() ==
        doctest::Approx((200 + minus_log(0.3) + minus_log(2)) / 3).epsilon(1e-6));
}

}  // namespace haze

#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/transition_matrices.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

using Matrix = std::vector<std::vector<double>>;

constexpr DiscreteSchedule kDiscreteSchedules[] = {DiscreteSchedule::reciprocal, DiscreteSchedule::cosine,
                                                   DiscreteSchedule::linear};

Tensor as_tensor(const Matrix& matrix) {
  std::vector<double> values;
  for (const auto& row : matrix) values.insert(values.end(), row.begin(), row.end());
  return Tensor::from(values, {static_cast<int64_t>(matrix.size()), static_cast<int64_t>(matrix[0].size())});
}

Tensor identity(int64_t states) {
  return absorbing_transition(states, 0, 0);
}

// Row-stochastic, with every entry positive.
Matrix random_transition(size_t states, Generator& generator) {
  Matrix matrix(states, std::vector<double>(states));
  for (auto& row : matrix) {
    double total = 0;
    for (double& p : row) total += p = 0.05 + generator.uniform();
    for (double& p : row) p /= total;
  }
  return matrix;
}

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b[0].size(); ++j) {
      for (size_t k = 0; k < b.size(); ++k) result[i][j] += a[i][k] * b[k][j];
    }
  }
  return result;
}

// Q_1 .. Q_t multiplied out.
Tensor cumulative(const DiscreteNoise& noise, int t, int64_t states, int64_t mask) {
  Tensor result = identity(states);
  for (int s = 1; s <= t; ++s) {
    result = transition_step(result, absorbing_transition(states, mask, noise.beta[static_cast<size_t>(s)]));
  }
  return result;
}

// The rows that a page of the lecture prints, rounded.
void check_printed_rows(const Tensor& start, const Tensor& transition, const Matrix& printed, double unit) {
  Tensor x = start;
  for (size_t step = 0; step < printed.size(); ++step) {
    x = transition_step(x, transition);
    const std::vector<double> row = x.to_vector<double>();
    REQUIRE(row.size() == printed[step].size());
    for (size_t i = 0; i < row.size(); ++i) CHECK(std::abs(row[i] - printed[step][i]) <= unit / 2 * 1.000001);
  }
}

}  // namespace

TEST_CASE("the lecture's example of the absorbing state: ten steps of a 4-state vector with beta = 0.25") {
  const Tensor q = absorbing_transition(4, 3, 0.25);
  CHECK(q.to_vector<double>() ==
        std::vector<double>{0.75, 0, 0, 0.25, 0, 0.75, 0, 0.25, 0, 0, 0.75, 0.25, 0, 0, 0, 1});
  const Matrix printed = {{0, 0.75, 0, 0.25},   {0, 0.562, 0, 0.438}, {0, 0.422, 0, 0.578},
                          {0, 0.316, 0, 0.684}, {0, 0.237, 0, 0.763}, {0, 0.178, 0, 0.822},
                          {0, 0.133, 0, 0.867}, {0, 0.1, 0, 0.9},     {0, 0.075, 0, 0.925},
                          {0, 0.056, 0, 0.944}};
  check_printed_rows(Tensor::from({0.0, 1.0, 0.0, 0.0}, {4}), q, printed, 1e-3);
}

TEST_CASE("the lecture's example of uniform transitions: ten steps of a 4-state vector with beta = 0.5") {
  Matrix q(4, std::vector<double>(4, 0.5 / 4));
  for (size_t i = 0; i < 4; ++i) q[i][i] = 1 - 3.0 / 4 * 0.5;
  const Matrix printed = {{0.175, 0.375, 0.275, 0.175},     {0.2125, 0.3125, 0.2625, 0.2125},
                          {0.2312, 0.2812, 0.2562, 0.2312}, {0.2406, 0.2656, 0.2531, 0.2406},
                          {0.2453, 0.2578, 0.2516, 0.2453}, {0.2477, 0.2539, 0.2508, 0.2477},
                          {0.2488, 0.252, 0.2504, 0.2488},  {0.2494, 0.251, 0.2502, 0.2494},
                          {0.2497, 0.2505, 0.2501, 0.2497}, {0.2499, 0.2502, 0.25, 0.2499}};
  check_printed_rows(Tensor::from({0.1, 0.5, 0.3, 0.1}, {4}), as_tensor(q), printed, 1e-4);
}

TEST_CASE("the lecture's first example: one step of a 3-state vector") {
  const Tensor q = as_tensor({{0.6, 0.2, 0.2}, {0.2, 0.6, 0.2}, {0.2, 0.2, 0.6}});
  check_printed_rows(Tensor::from({0.0, 1.0, 0.0}, {3}), q, {{0.2, 0.6, 0.2}}, 1e-12);
}

TEST_CASE("rows of absorbing_transition sum to one, and the mask never leaves") {
  for (double beta : {0.0, 0.1, 1.0 / 3, 1.0}) {
    for (int64_t mask : {0, 2, 4}) {
      const Tensor q = absorbing_transition(5, mask, beta);
      for (double total : sum(q, {1}).to_vector<double>()) CHECK(std::abs(total - 1) < 1e-15);
      for (int64_t i = 0; i < 5; ++i) {
        for (int64_t j = 0; j < 5; ++j) {
          const double expected = i == j ? (i == mask ? 1 : 1 - beta) : (j == mask ? beta : 0);
          CHECK(q.at({i, j}) == doctest::Approx(expected).epsilon(1e-15));
        }
      }
    }
  }
}

TEST_CASE(
    "a product of T = 1000 transition matrices is the closed form alpha_bar I + (1 - alpha_bar) 1 e_m^T") {
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    for (int64_t states : {2, 3, 8, 64}) {
      const int64_t mask = states - 1;
      const DiscreteNoise noise = discrete_noise(kind, 1000);
      Tensor q_bar = identity(states);
      double largest = 0;
      for (size_t t = 1; t <= 1000; ++t) {
        q_bar = transition_step(q_bar, absorbing_transition(states, mask, noise.beta[t]));
        const double alpha_bar = noise.alpha_bar[t];
        const std::vector<double> entries = q_bar.to_vector<double>();
        for (int64_t i = 0; i < states; ++i) {
          for (int64_t j = 0; j < states; ++j) {
            const double expected = (i == j ? alpha_bar : 0) + (j == mask ? 1 - alpha_bar : 0);
            largest = std::max(largest, std::abs(entries[static_cast<size_t>(i * states + j)] - expected));
          }
        }
      }
      CHECK(largest < 1e-12);
    }
  }
}

TEST_CASE(
    "with beta_t = 1/(T - t + 1) the information about x_0 falls evenly for masks, not for uniform noise") {
  constexpr size_t kStates = 5;
  constexpr int kSteps = 20;
  const std::vector<double> p = {0.4, 0.3, 0.2, 0.1};  // of x_0; the fifth state is the mask
  // I(x_t; x_0) / H(x_0), from the joint distribution.
  const auto kept = [&](const Tensor& q_bar) {
    double information = 0, entropy = 0;
    for (size_t x_t = 0; x_t < kStates; ++x_t) {
      double marginal = 0;
      for (size_t x_0 = 0; x_0 < p.size(); ++x_0) {
        marginal += p[x_0] * q_bar.at({static_cast<int64_t>(x_0), static_cast<int64_t>(x_t)});
      }
      for (size_t x_0 = 0; x_0 < p.size(); ++x_0) {
        const double q = q_bar.at({static_cast<int64_t>(x_0), static_cast<int64_t>(x_t)});
        if (q > 0) information += p[x_0] * q * std::log(q / marginal);
      }
    }
    for (double value : p) entropy -= value * std::log(value);
    return information / entropy;
  };
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, kSteps);
  Tensor uniform_bar = identity(kStates);
  for (int t = 1; t <= kSteps; ++t) {
    const double even = 1 - static_cast<double>(t) / kSteps;
    CHECK(std::abs(kept(cumulative(noise, t, kStates, kStates - 1)) - even) < 1e-12);
    const double beta = noise.beta[static_cast<size_t>(t)];
    Matrix uniform(kStates, std::vector<double>(kStates, beta / kStates));
    for (size_t i = 0; i < kStates; ++i) uniform[i][i] += 1 - beta;
    uniform_bar = transition_step(uniform_bar, as_tensor(uniform));
    if (t == kSteps / 2) CHECK(kept(uniform_bar) < even - 0.1);
  }
}

TEST_CASE("posterior is Bayes' rule, by brute force over all paths of any transition matrices") {
  Generator generator(3);
  for (size_t states : {2, 3, 5}) {
    // x_0 -> x_1 -> x_2 -> x_3: the posterior of x_2.
    const Matrix q1 = random_transition(states, generator), q2 = random_transition(states, generator),
                 q3 = random_transition(states, generator);
    const Tensor transition = as_tensor(q3), before = as_tensor(product(q1, q2));
    for (size_t x_0 = 0; x_0 < states; ++x_0) {
      for (size_t x_3 = 0; x_3 < states; ++x_3) {
        std::vector<double> joint(states);
        double total = 0;
        for (size_t x_1 = 0; x_1 < states; ++x_1) {
          for (size_t x_2 = 0; x_2 < states; ++x_2) {
            const double path = q1[x_0][x_1] * q2[x_1][x_2] * q3[x_2][x_3];
            joint[x_2] += path;
            total += path;
          }
        }
        const std::vector<double> p =
            posterior(static_cast<int64_t>(x_3), static_cast<int64_t>(x_0), transition, before)
                .to_vector<double>();
        double sum = 0;
        for (size_t x_2 = 0; x_2 < states; ++x_2) {
          CHECK(std::abs(p[x_2] - joint[x_2] / total) < 1e-14);
          sum += p[x_2];
        }
        CHECK(std::abs(sum - 1) < 1e-14);
      }
    }
  }
}

TEST_CASE("the absorbing state's posterior: brute force over (x_0, x_{t-1}, x_t), every t, every schedule") {
  constexpr int64_t kStates = 4, kMask = 3;
  constexpr int kSteps = 12;
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    const DiscreteNoise noise = discrete_noise(kind, kSteps);
    for (int t = 1; t <= kSteps; ++t) {
      const auto at = static_cast<size_t>(t);
      const Tensor transition = absorbing_transition(kStates, kMask, noise.beta[at]);
      const Tensor before = cumulative(noise, t - 1, kStates, kMask);
      const double unmask = unmask_probability(noise, t);
      for (int64_t x_0 = 0; x_0 < kMask; ++x_0) {
        for (int64_t x_t = 0; x_t < kStates; ++x_t) {
          // q(x_{t-1}, x_t | x_0) for every x_{t-1}, in words of the process.
          std::vector<double> joint(kStates);
          const double alive = noise.alpha_bar[at - 1], beta = noise.beta[at];
          if (x_t == x_0) joint[static_cast<size_t>(x_0)] = alive * (1 - beta);
          if (x_t == kMask) {
            joint[static_cast<size_t>(x_0)] = alive * beta;
            joint[static_cast<size_t>(kMask)] = 1 - alive;
          }
          double total = 0;
          for (double value : joint) total += value;
          if (total == 0) {
            CHECK_THROWS_AS(posterior(x_t, x_0, transition, before), Error);
            continue;
          }
          const Tensor p = posterior(x_t, x_0, transition, before);
          CHECK(std::abs(sum(p).item() - 1) < 1e-14);
          for (int64_t i = 0; i < kStates; ++i) {
            CHECK(std::abs(p.at({i}) - joint[static_cast<size_t>(i)] / total) < 1e-12);
          }
          if (x_t == kMask) CHECK(std::abs(p.at({x_0}) - unmask) < 1e-12);
          if (t == 1) CHECK(p.at({x_0}) == 1);
        }
      }
    }
  }
}

TEST_CASE("unmask_probability of beta_t = 1/(T - t + 1) is 1/t") {
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 1000);
  for (int t = 1; t <= 1000; ++t)
    CHECK(unmask_probability(noise, t) == doctest::Approx(1.0 / t).epsilon(1e-10));
}

TEST_CASE("p_theta(x_{t-1} | x_t): the sum over x_0 of the posterior is what the samplers do") {
  constexpr int64_t kStates = 4, kMask = 3;
  const std::vector<double> p_0 = {0.2, 0.5, 0.3};  // p_theta(x_0 | x_t)
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    const DiscreteNoise noise = discrete_noise(kind, 12);
    for (int t = 1; t <= 12; ++t) {
      const auto at = static_cast<size_t>(t);
      const Tensor transition = absorbing_transition(kStates, kMask, noise.beta[at]);
      const Tensor before = cumulative(noise, t - 1, kStates, kMask);
      // Equation 4 of D3PM weighs by the joint q(x_{t-1}, x_t | x_0); the mean of posteriors is the same
      // here.
      std::vector<double> mean(kStates), joint(kStates);
      double total = 0;
      for (int64_t x_0 = 0; x_0 < kMask; ++x_0) {
        const Tensor q = posterior(kMask, x_0, transition, before);
        for (int64_t i = 0; i < kStates; ++i) {
          const double path = before.at({x_0, i}) * transition.at({i, kMask});
          mean[static_cast<size_t>(i)] += p_0[static_cast<size_t>(x_0)] * q.at({i});
          joint[static_cast<size_t>(i)] += p_0[static_cast<size_t>(x_0)] * path;
          total += p_0[static_cast<size_t>(x_0)] * path;
        }
      }
      const double appears = unmask_probability(noise, t);
      for (size_t i = 0; i < kStates; ++i) {
        const double closed = i == kMask ? 1 - appears : appears * p_0[i];
        CHECK(std::abs(mean[i] - closed) < 1e-12);
        CHECK(std::abs(joint[i] / total - closed) < 1e-12);
      }
    }
  }
}

TEST_CASE("transition_step takes one distribution or several as rows") {
  const Tensor q = absorbing_transition(3, 2, 0.5);
  const Tensor rows = Tensor::from({1.0, 0.0, 0.0, 0.0, 0.5, 0.5}, {2, 3});
  CHECK(transition_step(rows, q).to_vector<double>() == std::vector<double>{0.5, 0, 0.5, 0, 0.25, 0.75});
  const Tensor one = transition_step(Tensor::from({1.0, 0.0, 0.0}, {3}), q);
  CHECK(one.shape() == Shape{3});
  CHECK(one.to_vector<double>() == std::vector<double>{0.5, 0, 0.5});
}

TEST_CASE("transition matrices and posteriors say what is wrong") {
  CHECK_THROWS_WITH_AS(absorbing_transition(3, 3, 0.5), "absorbing_transition: mask 3 is not one of 3 states",
                       Error);
  CHECK_THROWS_WITH_AS(absorbing_transition(3, 2, 1.5), "absorbing_transition: beta 1.5 is not in [0, 1]",
                       Error);
  CHECK_THROWS_AS(absorbing_transition(3, 2, NAN), Error);
  const Tensor q = absorbing_transition(3, 2, 0.5);
  CHECK_THROWS_WITH_AS(posterior(1, 0, q, q), "posterior: x_t = 1 cannot come from x_0 = 0", Error);
  CHECK_THROWS_WITH_AS(posterior(3, 0, q, q), "posterior: x_t = 3 and x_0 = 0 must be among 3 states", Error);
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 4);
  CHECK_THROWS_WITH_AS(unmask_probability(noise, 0), "unmask_probability: t = 0 is not in 1..4", Error);
  CHECK_THROWS_AS(unmask_probability(noise, 5), Error);
}

}  // namespace haze

#include "haze/diffusion/gaussian/runge_kutta_45.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

using Numbers = std::vector<double>;

// dy/dt = y cos t, solved by e^{sin t}, for any number of systems.
Numbers wave(const Numbers& t, const Numbers& y) {
  Numbers slope(y.size());
  for (size_t i = 0; i < y.size(); ++i) slope[i] = y[i] * std::cos(t[i]);
  return slope;
}

// y'' = -y as two numbers.
Numbers oscillator(const Numbers& t, const Numbers& y) {
  Numbers slope(y.size());
  for (size_t i = 0; i < t.size(); ++i) {
    slope[2 * i] = y[2 * i + 1];
    slope[2 * i + 1] = -y[2 * i];
  }
  return slope;
}

// Pulled to cos t at a rate of 100, far faster than the solution moves.
Numbers stiff(const Numbers& t, const Numbers& y) {
  Numbers slope(y.size());
  for (size_t i = 0; i < y.size(); ++i) slope[i] = -100 * (y[i] - std::cos(t[i]));
  return slope;
}

}  // namespace

TEST_CASE("Dormand-Prince: halving the step divides the error by 2^5") {
  const auto error = [](int steps) {
    Numbers y = {1};
    for (int i = 0; i < steps; ++i) y = runge_kutta_5_step(wave, 2.0 * i / steps, 2.0 / steps, y, 1);
    return std::abs(y[0] - std::exp(std::sin(2.0)));
  };
  MESSAGE("errors ", error(20), ", ", error(40), ", ", error(80));
  CHECK(std::log2(error(20) / error(40)) == doctest::Approx(5).epsilon(0.08));
  CHECK(std::log2(error(40) / error(80)) == doctest::Approx(5).epsilon(0.05));
}

TEST_CASE("Dormand-Prince: a polynomial of degree 4 is integrated exactly, with one of 5 in the slope not") {
  const auto power = [](int degree) {
    return [degree](const Numbers& t, const Numbers&) { return Numbers{std::pow(t[0], degree)}; };
  };
  for (int degree = 0; degree <= 4; ++degree)
    CHECK(runge_kutta_5_step(power(degree), 0, 1, {0}, 1)[0] ==
          doctest::Approx(1.0 / (degree + 1)).epsilon(1e-14));
  CHECK(std::abs(runge_kutta_5_step(power(5), 0, 1, {0}, 1)[0] - 1.0 / 6) > 1e-5);
}

TEST_CASE("Runge-Kutta 4(5): the error follows the tolerance") {
  double last_error = 1;
  for (double tolerance : {1e-4, 1e-6, 1e-8, 1e-10}) {
    const OdeSolution solution = runge_kutta_45(wave, 0, 6, {1}, 1, {tolerance, tolerance});
    const double error = std::abs(solution.y[0] - std::exp(std::sin(6.0)));
    MESSAGE("tolerance ", tolerance, ": error ", error, " in ", solution.calls, " calls");
    CHECK(error < 20 * tolerance);
    CHECK(error < last_error / 10);
    last_error = error;
  }
}

TEST_CASE("Runge-Kutta 4(5): an oscillator comes back after ten turns, and backwards to its start") {
  const double turns = 20 * M_PI;
  const OdeSolution there = runge_kutta_45(oscillator, 0, turns, {1, 0}, 1, {1e-9, 1e-9});
  CHECK(there.y[0] == doctest::Approx(1).epsilon(1e-6));
  CHECK(std::abs(there.y[1]) < 1e-6);
  const OdeSolution middle = runge_kutta_45(oscillator, 0, 5, {1, 0}, 1, {1e-9, 1e-9});
  const OdeSolution back = runge_kutta_45(oscillator, 5, 0, middle.y, 1, {1e-9, 1e-9});
  CHECK(back.y[0] == doctest::Approx(1).epsilon(1e-7));
  CHECK(std::abs(back.y[1]) < 1e-7);
}

TEST_CASE("Runge-Kutta 4(5): a stiff equation takes steps as small as stability asks, and stays accurate") {
  const OdeSolution solution = runge_kutta_45(stiff, 0, 10, {3}, 1, {1e-5, 1e-5});
  const double truth = (1e4 * std::cos(10.0) + 100 * std::sin(10.0)) / (1e4 + 1);
  CHECK(std::abs(solution.y[0] - truth) < 1e-4);
  // The formula is stable for 100 h < 3.3: at least 300 steps, and hardly more.
  CHECK(solution.accepted[0] > 290);
  CHECK(solution.accepted[0] + solution.rejected[0] < 500);
  CHECK(solution.calls == 2 + 6 * (solution.accepted[0] + solution.rejected[0]));
}

TEST_CASE(
    "Runge-Kutta 4(5): each system has its own steps, so that its solution is the same in any company") {
  const Numbers speeds = {0.1, 1, 30};
  const auto turning = [](const Numbers& speed) {
    return [speed](const Numbers&, const Numbers& y) {
      Numbers slope(y.size());
      for (size_t i = 0; i < speed.size(); ++i) {
        slope[2 * i] = speed[i] * y[2 * i + 1];
        slope[2 * i + 1] = -speed[i] * y[2 * i];
      }
      return slope;
    };
  };
  const OdeSolution together = runge_kutta_45(turning(speeds), 0, 1, {1, 0, 1, 0, 1, 0}, 3, {});
  for (size_t i = 0; i < 3; ++i) {
    const OdeSolution alone = runge_kutta_45(turning({speeds[i]}), 0, 1, {1, 0}, 1, {});
    CHECK(alone.y[0] == together.y[2 * i]);
    CHECK(alone.y[1] == together.y[2 * i + 1]);
    CHECK(alone.accepted[0] == together.accepted[i]);
  }
  CHECK(together.accepted[2] > 10 * together.accepted[0]);
}

TEST_CASE("Runge-Kutta 4(5): the observer sees time go on to the end") {
  Numbers seen;
  runge_kutta_45(wave, 1, 0, {1}, 1, {}, [&](const Numbers& t, const Numbers&) { seen.push_back(t[0]); });
  REQUIRE(seen.size() > 1);
  for (size_t i = 1; i < seen.size(); ++i) CHECK(seen[i] <= seen[i - 1]);
  CHECK(seen.back() == 0);
}

TEST_CASE("Runge-Kutta 4(5) refuses what it cannot integrate") {
  // y' = y^2 from 1 is 1 / (1 - t): there is nothing at t = 1.
  const auto blow_up = [](const Numbers&, const Numbers& y) { return Numbers{y[0] * y[0]}; };
  CHECK_THROWS_AS(runge_kutta_45(blow_up, 0, 2, {1}, 1, {}), Error);
  // A slope that jumps by 1e9 at 0.5, whose error no step brings down.
  const auto jump = [](const Numbers& t, const Numbers&) {
    return Numbers{t[0] < 0.5 ? 0 : 1e300 * (t[0] - 0.4)};
  };
  CHECK_THROWS_AS(runge_kutta_45(jump, 0, 1, {1}, 1, {}), Error);
  const auto nothing = [](const Numbers&, const Numbers&) { return Numbers{std::nan("")}; };
  CHECK_THROWS_WITH_AS(runge_kutta_45(nothing, 0, 1, {1}, 1, {}), "runge_kutta_45: dy/dt is nan at t = 0",
                       Error);
  CHECK_THROWS_AS(runge_kutta_45(wave, 0, 1, {1}, 1, {0, 1e-5}), Error);
  CHECK_THROWS_AS(runge_kutta_45(wave, 0, 1, {1, 2, 3}, 2, {}), Error);
}

}  // namespace haze

#include "haze/diffusion/gaussian/runge_kutta_45.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "haze/engine/error.h"

namespace haze {
namespace {

using Numbers = std::vector<double>;

constexpr size_t kStages = 7;
// The formula's table: stage s is taken at t + kTime[s] h, at y + h sum_j kStage[s][j] slope_j. The last
// stage is the solution of order 5, so its slope is the first of the next step.
constexpr std::array<double, kStages> kTime = {0, 1.0 / 5, 3.0 / 10, 4.0 / 5, 8.0 / 9, 1, 1};
constexpr std::array<std::array<double, kStages - 1>, kStages> kStage = {{
    {},
    {1.0 / 5},
    {3.0 / 40, 9.0 / 40},
    {44.0 / 45, -56.0 / 15, 32.0 / 9},
    {19372.0 / 6561, -25360.0 / 2187, 64448.0 / 6561, -212.0 / 729},
    {9017.0 / 3168, -355.0 / 33, 46732.0 / 5247, 49.0 / 176, -5103.0 / 18656},
    {35.0 / 384, 0, 500.0 / 1113, 125.0 / 192, -2187.0 / 6784, 11.0 / 84},
}};
// Weights of the solution of order 4 that go with the seven slopes.
constexpr std::array<double, kStages> kFourth = {
    5179.0 / 57600, 0, 7571.0 / 16695, 393.0 / 640, -92097.0 / 339200, 187.0 / 2100, 1.0 / 40};

/// A try of a step of every system, each with its own t and h.
struct Attempt {
  std::array<Numbers, kStages> slopes;
  Numbers y;  // of order 5
};

class Solver {
 public:
  Solver(const OdeFunction& function, Numbers y, int64_t systems, const OdeTolerance& tolerance)
      : function_(function), tolerance_(tolerance), systems_(static_cast<size_t>(systems)), y_(std::move(y)) {
    if (systems < 1 || y_.empty() || y_.size() % systems_ != 0)
      fail("runge_kutta_45: {} numbers are no {} systems of one size", y_.size(), systems);
    if (!(tolerance.relative > 0 && tolerance.absolute > 0))
      fail("runge_kutta_45: the tolerances {} and {} are not both positive", tolerance.relative,
           tolerance.absolute);
    size_ = y_.size() / systems_;
  }

  OdeSolution solve(double begin, double end, const OdeObserver& observer) {
    solution_.accepted.assign(systems_, 0);
    solution_.rejected.assign(systems_, 0);
    t_.assign(systems_, begin);
    slope_ = call(t_, y_);
    h_ = first_steps(begin, end);
    while (std::any_of(t_.begin(), t_.end(), [&](double t) { return t != end; })) {
      step(end);
      if (observer) observer(t_, y_);
    }
    solution_.y = y_;
    return std::move(solution_);
  }

  Attempt attempt(const Numbers& t, const Numbers& h, const Numbers& y, Numbers slope) {
    Attempt result;
    result.slopes[0] = std::move(slope);
    Numbers stage_t(systems_);
    for (size_t s = 1; s < kStages; ++s) {
      for (size_t i = 0; i < systems_; ++i) stage_t[i] = t[i] + kTime[s] * h[i];
      result.y = y;
      for (size_t j = 0; j < s; ++j) {
        for (size_t k = 0; k < y.size(); ++k)
          result.y[k] += h[k / size_] * kStage[s][j] * result.slopes[j][k];
      }
      result.slopes[s] = call(stage_t, result.y);
    }
    return result;
  }

  Numbers call(const Numbers& t, const Numbers& y) {
    ++solution_.calls;
    Numbers slope = function_(t, y);
    if (slope.size() != y.size())
      fail("runge_kutta_45: the function gives {} numbers for {}", slope.size(), y.size());
    for (size_t k = 0; k < slope.size(); ++k) {
      if (!std::isfinite(slope[k])) fail("runge_kutta_45: dy/dt is {} at t = {}", slope[k], t[k / size_]);
    }
    return slope;
  }

 private:
  // The root mean square of a system's numbers, in units of what is tolerated.
  double scaled_norm(size_t system, const Numbers& numbers, const Numbers& other) const {
    double sum = 0;
    for (size_t k = system * size_; k < (system + 1) * size_; ++k) {
      const double largest = std::max(std::abs(y_[k]), std::abs(other[k]));
      const double scaled = numbers[k] / (tolerance_.absolute + tolerance_.relative * largest);
      sum += scaled * scaled;
    }
    return std::sqrt(sum / static_cast<double>(size_));
  }

  // Hairer, Norsett and Wanner 1993, section II.4, "starting step size".
  Numbers first_steps(double begin, double end) {
    const double direction = end < begin ? -1 : 1, span = std::abs(end - begin);
    Numbers h(systems_), probe = y_, t(systems_);
    for (size_t i = 0; i < systems_; ++i) {
      const double size = scaled_norm(i, y_, y_), speed = scaled_norm(i, slope_, y_);
      h[i] = std::min(span, size < 1e-5 || speed < 1e-5 ? 1e-6 : 0.01 * size / speed);
      t[i] = begin + direction * h[i];
    }
    for (size_t k = 0; k < probe.size(); ++k) probe[k] += direction * h[k / size_] * slope_[k];
    Numbers change = call(t, probe);
    for (size_t k = 0; k < change.size(); ++k) change[k] -= slope_[k];
    for (size_t i = 0; i < systems_; ++i) {
      const double bend = scaled_norm(i, change, y_) / h[i];
      const double larger = std::max(scaled_norm(i, slope_, y_), bend);
      const double guess = larger <= 1e-15 ? std::max(1e-6, 1e-3 * h[i]) : std::pow(0.01 / larger, 0.2);
      h[i] = direction * std::min({100 * h[i], guess, span});
    }
    return h;
  }

  // What the solutions of orders 5 and 4 differ by.
  Numbers errors_of(const Attempt& attempt) const {
    Numbers error(y_.size(), 0);
    for (size_t j = 0; j < kStages; ++j) {
      const double fifth = j + 1 < kStages ? kStage[kStages - 1][j] : 0;
      for (size_t k = 0; k < error.size(); ++k)
        error[k] += h_[k / size_] * (fifth - kFourth[j]) * attempt.slopes[j][k];
    }
    return error;
  }

  void step(double end) {
    for (size_t i = 0; i < systems_; ++i) {
      if (std::abs(h_[i]) >= std::abs(end - t_[i])) h_[i] = end - t_[i];
    }
    const Attempt tried = attempt(t_, h_, y_, slope_);
    const Numbers errors = errors_of(tried);
    for (size_t i = 0; i < systems_; ++i) {
      if (t_[i] != end) accept_or_repeat(i, tried, scaled_norm(i, errors, tried.y), end);
    }
  }

  void accept_or_repeat(size_t system, const Attempt& tried, double error, double end) {
    constexpr double kSafety = 0.9, kShrink = 0.2, kGrow = 10;
    const double factor = error == 0 ? kGrow : std::clamp(kSafety * std::pow(error, -0.2), kShrink, kGrow);
    const double t = t_[system], h = h_[system];
    if (!(error <= 1)) {
      ++solution_.rejected[system];
      h_[system] = h * std::min(factor, 1.0);
      if (std::abs(h_[system]) < 10 * std::abs(std::nextafter(t, end) - t))
        fail("runge_kutta_45: at t = {} no step is small enough for the tolerance", t);
      return;
    }
    ++solution_.accepted[system];
    t_[system] = h == end - t ? end : t + h;
    h_[system] = h * factor;
    for (size_t k = system * size_; k < (system + 1) * size_; ++k) {
      y_[k] = tried.y[k];
      slope_[k] = tried.slopes.back()[k];
    }
  }

  const OdeFunction& function_;
  OdeTolerance tolerance_;
  size_t systems_, size_ = 0;
  Numbers y_, t_, h_, slope_;
  OdeSolution solution_;
};

}  // namespace

OdeSolution runge_kutta_45(const OdeFunction& function, double begin, double end, std::vector<double> y,
                           int64_t systems, const OdeTolerance& tolerance, const OdeObserver& observer) {
  return Solver(function, std::move(y), systems, tolerance).solve(begin, end, observer);
}

std::vector<double> runge_kutta_5_step(const OdeFunction& function, double t, double h,
                                       const std::vector<double>& y, int64_t systems) {
  Solver solver(function, y, systems, {});
  const Numbers times(static_cast<size_t>(systems), t), steps(static_cast<size_t>(systems), h);
  return solver.attempt(times, steps, y, solver.call(times, y)).y;
}

}  // namespace haze

#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace haze {

/// dy/dt of several independent systems of the same size: t holds the time of each system, y its numbers one
/// system after another. The result is shaped as y.
using OdeFunction =
    std::function<std::vector<double>(const std::vector<double>& t, const std::vector<double>& y)>;

struct OdeTolerance {
  double relative = 1e-5;
  double absolute = 1e-5;
};

struct OdeSolution {
  std::vector<double> y;          // at the end, as the start
  std::vector<int64_t> accepted;  // steps of each system
  std::vector<int64_t> rejected;  // tries of each system whose error was too large
  int64_t calls = 0;              // of the function
};

/// Is told the time of each system and y, after every step that some system took. May be empty, and may throw
/// to break the work off.
using OdeObserver = std::function<void(const std::vector<double>& t, const std::vector<double>& y)>;

/// Integrates from `begin` to `end`, forwards or backwards. The formula is the pair of orders 5 and 4 of
/// Dormand and Prince 1980, "A family of embedded Runge-Kutta formulae". It takes six calls a step. Every
/// system has a time and a step of its own, so its solution does not depend on the others. A call takes all
/// systems together; those that have arrived wait. A step's error is the root mean square over a system's
/// numbers of error / (absolute + relative max(|y|, |y_new|)). A step whose error is above 1 is repeated,
/// smaller (Hairer, Norsett and Wanner 1993, section II.4). Throws Error where a tolerance is not positive,
/// where a step becomes too small to move t, and where the function gives a number that is not finite.
OdeSolution runge_kutta_45(const OdeFunction& function, double begin, double end, std::vector<double> y,
                           int64_t systems, const OdeTolerance& tolerance, const OdeObserver& observer = {});

/// One step of fifth order of the same formula, from t to t + h, for all systems: no error control.
std::vector<double> runge_kutta_5_step(const OdeFunction& function, double t, double h,
                                       const std::vector<double>& y, int64_t systems);

}  // namespace haze

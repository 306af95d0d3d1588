#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

/// What the statistical tests hold samples against.
namespace haze::test {

/// The value that a chi-squared variable stays below in 99.9 % of draws (Wilson and Hilferty 1931; within 2 %
/// of the exact value for 3 degrees of freedom or more).
inline double chi_squared_limit(size_t degrees) {
  const double spread = 2.0 / (9.0 * static_cast<double>(degrees));
  return static_cast<double>(degrees) * std::pow(1 - spread + 3.0902 * std::sqrt(spread), 3);
}

/// Pearson's statistic of counts against expected counts.
inline double chi_squared(const std::vector<int64_t>& counts, const std::vector<double>& expected) {
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double difference = static_cast<double>(counts[i]) - expected[i];
    sum += difference * difference / expected[i];
  }
  return sum;
}

/// How many standard deviations a count of rare events lies from what is expected (Poisson); beyond 3.29 in
/// 0.1 % of draws.
inline double poisson_deviation(int64_t count, double expected) {
  return (static_cast<double>(count) - expected) / std::sqrt(expected);
}

}  // namespace haze::test

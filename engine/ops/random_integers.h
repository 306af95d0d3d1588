#pragma once

#include "haze/engine/call.h"
#include "haze/engine/generator.h"

/// Draws of integers. Element i of a result reads the words of counters of its own, so it is the same on
/// every device and for every number of threads.
namespace haze {

struct RandomIntegers {
  static constexpr const char* kName = "random_integers";
  RandomPosition position;
  int64_t low, high;
  Tensor out;  // dense int32

  void each_operand(auto&& f) const { f(Use::write, "the result", out); }
  void run(Cpu) const;
};

struct Bernoulli {
  static constexpr const char* kName = "bernoulli";
  Tensor probability;  // dense, real
  RandomPosition position;
  Tensor out;  // dense uint8

  void each_operand(auto&& f) const {
    f(Use::read, "probability", probability), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct Poisson {
  static constexpr const char* kName = "poisson";
  /// The largest rate: int32 holds its draws, beyond a doubt.
  static constexpr double kLargestRate = 1e9;
  /// Pairs of uniform numbers that an element may use; it needs more in fewer than 1 of 10^40 cases.
  static constexpr uint64_t kTrials = 64;
  Tensor rate;  // dense, real
  RandomPosition position;
  Tensor out;  // dense int32

  void each_operand(auto&& f) const { f(Use::read, "rate", rate), f(Use::write, "the result", out); }
  void run(Cpu) const;
};

}  // namespace haze

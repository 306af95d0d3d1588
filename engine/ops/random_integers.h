#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops/random.h"

/// Draws of integers. Element i of a result reads the words of counters of its own, so it is the same on
/// every device and for every number of threads.
namespace haze::call {

struct RandomIntegers {
  RandomPosition position;
  int64_t low, high;
  Tensor out;  // contiguous int32

  const char* name() const { return "random_integers"; }
  void each_operand(auto&& f) const {
    f(Use::write, "the result", out), f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

struct Bernoulli {
  Tensor probability;  // contiguous, floating
  RandomPosition position;
  Tensor out;  // contiguous uint8

  const char* name() const { return "bernoulli"; }
  void each_operand(auto&& f) const {
    f(Use::read, "probability", probability), f(Use::write, "the result", out);
    f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

struct Poisson {
  /// The largest rate: int32 holds its draws, beyond a doubt.
  static constexpr double kLargestRate = 1e9;
  /// Pairs of uniform numbers that an element may use; it needs more in fewer than 1 of 10^40 cases.
  static constexpr uint64_t kTrials = 64;
  Tensor rate;  // contiguous, floating
  RandomPosition position;
  Tensor out;  // contiguous int32

  const char* name() const { return "poisson"; }
  void each_operand(auto&& f) const {
    f(Use::read, "rate", rate), f(Use::write, "the result", out);
    f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

}  // namespace haze::call

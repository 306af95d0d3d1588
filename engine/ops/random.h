#pragma once

#include "haze/engine/call.h"
#include "haze/engine/generator.h"

namespace haze {

/// The base of a position as an operand of a call, int32 [2]; undefined where it has none.
Tensor base_operand(const RandomPosition& position);

namespace call {

struct Uniform {
  RandomPosition position;
  double low, high;
  Tensor out;  // contiguous, real

  const char* name() const { return "uniform"; }
  void each_operand(auto&& f) const {
    f(Use::write, "the result", out), f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

struct Normal {
  RandomPosition position;
  double mean, standard_deviation;
  Tensor out;  // contiguous, real

  const char* name() const { return "normal"; }
  void each_operand(auto&& f) const {
    f(Use::write, "the result", out), f(Use::read, "the random counter", base_operand(position));
  }
  void run(Cpu) const;
};

struct AdvanceCounter {
  Tensor counter;  // contiguous int32 [2], the lower word first
  uint64_t by;

  const char* name() const { return "advance_counter"; }
  void each_operand(auto&& f) const { f(Use::update, "the counter", counter); }
  void run(Cpu) const;
};

}  // namespace call
}  // namespace haze

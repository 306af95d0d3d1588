#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "haze/autograd/variable.h"

/// Functions that run again in the backward pass. Not part of the library's interface.
namespace haze {

/// x itself, as a value of its own on the tape. Its gradient is that of one input of a function, even if the
/// function also uses x without being handed it.
Variable stand_in(const Variable& x);

/// The part of the tape that a function writes, from here on.
class TapePart {
 public:
  TapePart() : begin_(Tape::next_sequence()) {}

  /// function(). What it uses or returns of the values that were made before this part is added to `used`,
  /// each once.
  template <typename F>
  Variable run(F&& function, std::vector<Variable>& used) const {
    const Restore previous{Tape::collect_used({.into = &used, .made_before = begin_})};
    return stand_in(function());
  }

  /// The gradients of `values` from the gradient `g` of `root`, a value of this part. They are undefined
  /// where `needed` is false, or root does not depend on the value. The pass ends at the values, and their
  /// hooks are left to the pass around it. Throws Error where root depends on another value made before this
  /// part.
  Gradients gradients(const Variable& root, const Variable& g, const std::vector<Variable>& values,
                      std::vector<bool> needed, bool create_graph = false) const;

 private:
  struct Restore {
    Tape::Collector previous;
    ~Restore() { Tape::collect_used(previous); }
  };

  uint64_t begin_;
};

/// The rule of a function that runs again: one gradient for each of the inputs, then for each of the values
/// that it uses without being handed them.
class CheckpointRule {
 public:
  CheckpointRule(CheckpointedFunction function, const std::vector<Variable>& inputs,
                 const std::vector<Variable>& used, std::optional<Generator> generator = {});
  Gradients operator()(const Variable& g) const;

 private:
  Variable run_again(const std::vector<Variable>& inputs) const;

  CheckpointedFunction function_;
  std::vector<Saved> inputs_, used_;
  std::optional<Generator> generator_;
  Saved counter_;  // the generator's base
  bool detect_ = DetectNonFinite::active();
  Precision precision_ = current_precision();
};

}  // namespace haze

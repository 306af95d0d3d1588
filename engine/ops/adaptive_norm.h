#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

/// x, g, branch and results are contiguous [rows, columns], real. Modulations, such as scale, are [sequences,
/// columns] with unit stride on the last axis. index is contiguous int32 [rows]: the sequence of each row.
namespace haze::call {

struct AdaptiveLayerNorm {
  Tensor x, scale, shift, index;
  double epsilon;
  NormResult out;  // mean and rstd [rows]

  const char* name() const { return "adaptive_layer_norm"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "scale", scale), f(Use::read, "shift", shift);
    f(Use::read, "index", index), f(Use::write, "the result", out.output);
    f(Use::write, "mean", out.mean), f(Use::write, "rstd", out.rstd);
  }
  void run(Cpu) const;
};

struct AdaptiveLayerNormGradient {
  Tensor g, x, scale, index;
  NormResult saved;  // mean and rstd
  NormGradient out;  // weight and bias are contiguous, for scale and shift

  const char* name() const { return "adaptive_layer_norm_gradient"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "g", g), f(Use::read, "scale", scale), f(Use::read, "index", index);
    f(Use::read, "the saved mean", saved.mean), f(Use::read, "the saved rstd", saved.rstd);
    f(Use::write, "the gradient", out.x), f(Use::write, "that of scale", out.weight);
    f(Use::write, "that of shift", out.bias);
  }
  void run(Cpu) const;
};

struct GatedAdd {
  Tensor x, gate, branch, index, out;

  const char* name() const { return "gated_add"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "gate", gate), f(Use::read, "branch", branch);
    f(Use::read, "index", index), f(Use::write, "the result", out);
  }
  void run(Cpu) const;
};

struct GatedAddGradient {
  Tensor g, gate, branch, index;
  Tensor out_gate, out_branch;  // contiguous

  const char* name() const { return "gated_add_gradient"; }
  void each_operand(auto&& f) const {
    f(Use::read, "g", g), f(Use::read, "gate", gate), f(Use::read, "branch", branch);
    f(Use::read, "index", index), f(Use::write, "the gate's gradient", out_gate);
    f(Use::write, "the branch's gradient", out_branch);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

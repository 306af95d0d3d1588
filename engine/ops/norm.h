#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

/// x and results are contiguous [rows, columns], floating; weight and bias contiguous [columns] or undefined.
namespace haze::call {

/// The operands of a norm; those that it does not have are undefined.
void each_norm_operand(auto&& f, const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const NormResult& out) {
  f(Use::read, "x", x), f(Use::read, "weight", weight), f(Use::read, "bias", bias);
  f(Use::write, "the result", out.output), f(Use::write, "mean", out.mean), f(Use::write, "rstd", out.rstd);
}

/// The same for the gradient of a norm.
void each_norm_gradient_operand(auto&& f, const Tensor& g, const Tensor& x, const Tensor& weight,
                                const NormResult& saved, const NormGradient& out) {
  f(Use::read, "x", x), f(Use::read, "g", g), f(Use::read, "weight", weight);
  f(Use::read, "the saved mean", saved.mean), f(Use::read, "the saved rstd", saved.rstd);
  f(Use::write, "the gradient", out.x), f(Use::write, "that of weight", out.weight);
  f(Use::write, "that of bias", out.bias);
}

struct LayerNorm {
  Tensor x, weight, bias;
  double epsilon;
  NormResult out;  // mean and rstd [rows]

  const char* name() const { return "layer_norm"; }
  void each_operand(auto&& f) const { each_norm_operand(f, x, weight, bias, out); }
  void run(Cpu) const;
};

struct LayerNormGradient {
  Tensor g, x, weight;
  NormResult saved;  // mean and rstd
  NormGradient out;  // weight and bias where they are wanted

  const char* name() const { return "layer_norm_gradient"; }
  void each_operand(auto&& f) const { each_norm_gradient_operand(f, g, x, weight, saved, out); }
  void run(Cpu) const;
};

struct RmsNorm {
  Tensor x, weight;
  double epsilon;
  NormResult out;  // rstd [rows], no mean

  const char* name() const { return "rms_norm"; }
  void each_operand(auto&& f) const { each_norm_operand(f, x, weight, Tensor(), out); }
  void run(Cpu) const;
};

struct RmsNormGradient {
  Tensor g, x, weight;
  NormResult saved;  // rstd
  NormGradient out;  // weight where it is wanted

  const char* name() const { return "rms_norm_gradient"; }
  void each_operand(auto&& f) const { each_norm_gradient_operand(f, g, x, weight, saved, out); }
  void run(Cpu) const;
};

}  // namespace haze::call

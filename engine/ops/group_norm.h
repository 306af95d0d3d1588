#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

/// x and results are dense [batch, channels, pixels], real; weight and bias dense [channels] or undefined.
namespace haze::call {

struct GroupNorm {
  Tensor x, weight, bias;
  int64_t groups;  // divides channels
  double epsilon;
  NormResult out;  // mean and rstd [batch groups]

  const char* name() const { return "group_norm"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "weight", weight), f(Use::read, "bias", bias);
    f(Use::write, "the result", out.output), f(Use::write, "mean", out.mean), f(Use::write, "rstd", out.rstd);
  }
  void run(Cpu) const;
};

struct GroupNormGradient {
  Tensor g, x, weight;
  int64_t groups;
  NormResult saved;  // mean and rstd
  NormGradient out;  // weight and bias where they are wanted

  const char* name() const { return "group_norm_gradient"; }
  void each_operand(auto&& f) const {
    f(Use::read, "x", x), f(Use::read, "g", g), f(Use::read, "weight", weight);
    f(Use::read, "the saved mean", saved.mean), f(Use::read, "the saved rstd", saved.rstd);
    f(Use::write, "the gradient", out.x), f(Use::write, "that of weight", out.weight);
    f(Use::write, "that of bias", out.bias);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

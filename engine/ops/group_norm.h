#pragma once

#include "haze/engine/ops/norm.h"

/// x and results are contiguous [batch, channels, pixels], floating; weight and bias contiguous [channels] or
/// undefined.
namespace haze::call {

struct GroupNorm {
  Tensor x, weight, bias;
  int64_t groups;  // divides channels
  double epsilon;
  NormResult out;  // mean and rstd [batch groups]

  const char* name() const { return "group_norm"; }
  void each_operand(auto&& f) const { each_norm_operand(f, x, weight, bias, out); }
  void run(Cpu) const;
};

struct GroupNormGradient {
  Tensor g, x, weight;
  int64_t groups;
  NormResult saved;  // mean and rstd
  NormGradient out;  // weight and bias where they are wanted

  const char* name() const { return "group_norm_gradient"; }
  void each_operand(auto&& f) const { each_norm_gradient_operand(f, g, x, weight, saved, out); }
  void run(Cpu) const;
};

}  // namespace haze::call

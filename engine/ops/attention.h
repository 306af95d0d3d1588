#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

/// query, key and value [batch, rows, heads, head_size], real, with unit stride on the last axis; the tensors
/// of `options` are dense. The kernel checks their values.
struct Attention {
  const char* name() const { return "attention"; }
  Tensor query, key, value;
  AttentionOptions options;
  AttentionResult out;  // dense

  Shape extents() const;
  double flops() const;
  void each_operand(auto&& f) const {
    f(Use::read, "query", query), f(Use::read, "key", key), f(Use::read, "value", value);
    f(Use::read, "key_lengths", options.key_lengths), f(Use::read, "block_mask", options.block_mask);
    f(Use::read, "sequence_offsets", options.sequence_offsets);
    f(Use::write, "the result", out.output), f(Use::write, "logsumexp", out.logsumexp);
  }
  void run(Cpu) const;
};

/// g is like `forward.out.output`; out's tensors are like query, key and value.
struct AttentionGradient {
  const char* name() const { return "attention_gradient"; }
  Tensor g;
  Attention forward;
  haze::AttentionGradient out;

  Shape extents() const { return forward.extents(); }
  double flops() const;
  void each_operand(auto&& f) const {
    f(Use::read, "g", g);
    forward.each_operand([&](Use, const char* operand, const Tensor& x) { f(Use::read, operand, x); });
    f(Use::write, "the gradient of query", out.query), f(Use::write, "the gradient of key", out.key);
    f(Use::write, "the gradient of value", out.value);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

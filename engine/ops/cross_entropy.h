#pragma once

#include <algorithm>
#include <optional>

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze {

/// How many of `rows` rows of logits a loss holds at a time: enough for a fast matrix product, yet never
/// [tokens, vocabulary].
inline int64_t rows_of_logits(int64_t rows, int64_t vocabulary) {
  constexpr int64_t kLogits = int64_t{1} << 22, kFewestRows = 64;
  return std::min(rows, std::max(kFewestRows, kLogits / std::max<int64_t>(vocabulary, 1)));
}

}  // namespace haze

namespace haze::call {

struct LinearCrossEntropy {
  Tensor hidden;       // contiguous [rows, width], floating
  Tensor weight;       // contiguous [vocabulary, width]
  Tensor bias;         // contiguous [vocabulary], or undefined
  Tensor targets;      // contiguous int32 [rows]
  Tensor row_weights;  // contiguous [rows], or undefined
  Precision precision;
  std::optional<int32_t> ignored;  // the target of rows that do not count
  CrossEntropyResult out;          // gradients where row_weights are given

  const char* name() const { return "linear_cross_entropy"; }
  Shape extents() const { return {hidden.size(0), weight.size(0), hidden.size(1)}; }
  double flops() const;
  bool multiplies_bfloat16() const {
    if (precision == Precision::bfloat16) return hidden.dtype() != Dtype::float64;
    return hidden.dtype() == Dtype::bfloat16 && !row_weights.defined();  // gradients are formed in float32
  }
  void each_operand(auto&& f) const {
    f(Use::read, "hidden", hidden), f(Use::read, "weight", weight), f(Use::read, "bias", bias);
    f(Use::read, "targets", targets), f(Use::read, "row_weights", row_weights);
    f(Use::write, "the losses", out.losses), f(Use::write, "the gradient of hidden", out.hidden);
    f(Use::write, "the gradient of weight", out.weight), f(Use::write, "the gradient of bias", out.bias);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

#pragma once

#include "haze/engine/call.h"
#include "haze/engine/ops.h"

namespace haze::call {

struct Matmul {
  Tensor a;                    // [batch, m, k], any strides: real or bfloat16
  Tensor b;                    // [batch, k, n], any strides, dtype of a
  MatmulOptions options = {};  // contiguous; residual and the like are [batch, m, n]
  bool accumulate = false;     // out += a b
  Tensor out;                  // contiguous [batch, m, n]; float32 for bfloat16

  const char* name() const { return accumulate ? "matmul_into" : "matmul"; }
  std::string title() const;  // with what is transposed and fused
  Shape extents() const;      // m, n, k; before them the batch, where it is not 1
  double flops() const;
  bool multiplies_bfloat16() const {
    return a.dtype() == Dtype::bfloat16 ||
           (a.dtype() == Dtype::float32 && options.precision == Precision::bfloat16);
  }
  void each_operand(auto&& f) const {
    f(Use::read, "a", a), f(Use::read, "b", b), f(Use::read, "bias", options.bias);
    f(Use::read, "residual", options.residual), f(Use::read, "slope_at", options.slope_at);
    f(Use::write, "pre_activation", options.pre_activation), f(Use::write, "row_sums", options.row_sums);
    f(accumulate ? Use::update : Use::write, accumulate ? "the target" : "the result", out);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

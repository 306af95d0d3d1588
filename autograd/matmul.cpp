#include "haze/autograd/rules.h"

namespace haze {
namespace {

/// a^T g, summed over the leading axes that b of a b did not have.
Variable right_gradient(const Variable& a, const Variable& g, const Shape& b_shape) {
  if (b_shape.rank() == 2 && a.rank() > 2) {  // one product of all rows sums on its way
    return matmul(transpose(reshape(a, rows_shape(a.shape()))), reshape(g, rows_shape(g.shape())));
  }
  return sum_to(matmul(transpose(a), g), b_shape);
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  // d(a b) = da b + a db: a gets g b^T, b gets a^T g. Where a and b are bfloat16, so is g in these products,
  // and what they give is float32.
  return Tape::record(
      "matmul", matmul(a.value(), b.value()), {a, b},
      [a_shape = a.shape(), b_shape = b.shape(), b = saved_if(a.requires_gradient(), "b", b),
       a = saved_if(b.requires_gradient(), "a", a), dtype = a.dtype()](const Variable& gradient) {
        Gradients gradients(2);
        const Variable g = cast(gradient, dtype);
        if (needed(0)) gradients[0] = sum_to(matmul(g, transpose(b.variable())), a_shape);
        if (needed(1)) gradients[1] = right_gradient(a.variable(), g, b_shape);
        return gradients;
      });
}

}  // namespace haze

#include "haze/engine/ops/group_norm.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_group_norm(const char* operation, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      int64_t groups) {
  check_floating(operation, "x", x);
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups != 0) {
    fail("{}: x has shape {}; it takes [batch, channels, ...] with channels a multiple of {} groups",
         operation, x.shape().to_string(), groups);
  }
  for (const auto& [argument, tensor] : {std::pair("weight", &weight), std::pair("bias", &bias)}) {
    if (!tensor->defined()) continue;
    check_same_dtype(operation, x, *tensor);
    check_shape(operation, argument, *tensor, {x.size(1)});
  }
}

// [batch, channels, pixels], dense.
Tensor as_pixels(const Tensor& x) {
  int64_t pixels = 1;
  for (int axis = 2; axis < x.rank(); ++axis) pixels *= x.size(axis);
  return reshape(contiguous(x), {x.size(0), x.size(1), pixels});
}

// [batch groups, elements of a group]: what mean and rstd have an entry for.
Tensor group_rows(const Tensor& pixels, int64_t groups) {
  return reshape(pixels, {pixels.size(0) * groups, pixels.size(1) / groups * pixels.size(2)});
}

}  // namespace

NormResult group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                      double epsilon) {
  check_group_norm("group_norm", x, weight, bias, groups);
  const Shape rows{x.size(0) * groups};
  const Dtype statistics = wide_dtype(x.dtype());
  const NormResult result{Tensor(x.shape(), x.dtype(), x.device()), Tensor(rows, statistics, x.device()),
                          Tensor(rows, statistics, x.device())};
  launch(call::GroupNorm{as_pixels(x),
                         contiguous_or_undefined(weight),
                         contiguous_or_undefined(bias),
                         groups,
                         epsilon,
                         {as_pixels(result.output), result.mean, result.rstd}});
  return result;
}

NormGradient group_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, int64_t groups,
                                 const NormResult& saved, bool bias) {
  constexpr const char* kName = "group_norm_gradient";
  check_group_norm(kName, x, weight, Tensor(), groups);
  check_same_dtype(kName, x, g);
  check_shape(kName, "g", g, x.shape());
  const Tensor pixels = as_pixels(x);
  const NormResult dense = checked_saved_norm(kName, group_rows(pixels, groups), saved, true);
  NormGradient result{Tensor(x.shape(), x.dtype(), x.device())};
  if (weight.defined()) result.weight = Tensor({x.size(1)}, x.dtype(), x.device());
  if (bias) result.bias = Tensor({x.size(1)}, x.dtype(), x.device());
  launch(call::GroupNormGradient{as_pixels(g),
                                 pixels,
                                 contiguous_or_undefined(weight),
                                 groups,
                                 dense,
                                 {as_pixels(result.x), result.weight, result.bias}});
  return result;
}

}  // namespace haze

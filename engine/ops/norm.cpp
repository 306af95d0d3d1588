#include "haze/engine/ops/norm.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_norm_arguments(const char* operation, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_floating(operation, "x", x);
  checked_axis(operation, x, -1);
  for (const auto& [argument, tensor] : {std::pair("weight", &weight), std::pair("bias", &bias)}) {
    if (!tensor->defined()) continue;
    check_same_dtype(operation, x, *tensor);
    check_shape(operation, argument, *tensor, {x.size(-1)});
  }
}

NormResult allocate_norm(const Tensor& x, bool with_mean) {
  const int64_t rows = as_rows(x).size(0);
  const Dtype statistics = wide_dtype(x.dtype());
  NormResult result{Tensor(x.shape(), x.dtype(), x.device()), Tensor(),
                    Tensor({rows}, statistics, x.device())};
  if (with_mean) result.mean = Tensor({rows}, statistics, x.device());
  return result;
}

NormResult rows_of(const NormResult& result) {
  return {as_rows(result.output), result.mean, result.rstd};
}

// The result for rows that were moved from `axis` to the last.
NormResult moved_back(const NormResult& result, int axis) {
  return {contiguous(transpose(result.output, axis, -1)), result.mean, result.rstd};
}

NormGradient allocate_norm_gradient(const char* operation, const Tensor& g, const Tensor& x,
                                    const Tensor& weight, bool bias) {
  check_norm_arguments(operation, x, weight, Tensor());
  check_same_dtype(operation, x, g);
  check_shape(operation, "g", g, x.shape());
  NormGradient result;
  result.x = Tensor(x.shape(), x.dtype(), x.device());
  if (weight.defined()) result.weight = Tensor({x.size(-1)}, x.dtype(), x.device());
  if (bias) result.bias = Tensor({x.size(-1)}, x.dtype(), x.device());
  return result;
}

NormGradient rows_of(const NormGradient& gradient) {
  return {as_rows(gradient.x), gradient.weight, gradient.bias};
}

}  // namespace

NormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon, int axis) {
  if (const int a = checked_axis("layer_norm", x, axis); a != x.rank() - 1)
    return moved_back(layer_norm(transpose(x, a, -1), weight, bias, epsilon), a);
  check_norm_arguments("layer_norm", x, weight, bias);
  const NormResult result = allocate_norm(x, true);
  launch(call::LayerNorm{as_rows(x), contiguous_or_undefined(weight), contiguous_or_undefined(bias), epsilon,
                         rows_of(result)});
  return result;
}

NormGradient layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                 const NormResult& saved, bool bias) {
  const NormGradient result = allocate_norm_gradient("layer_norm_gradient", g, x, weight, bias);
  launch(call::LayerNormGradient{as_rows(g), as_rows(x), contiguous_or_undefined(weight),
                                 checked_saved_norm("layer_norm_gradient", as_rows(x), saved, true),
                                 rows_of(result)});
  return result;
}

NormResult rms_norm(const Tensor& x, const Tensor& weight, double epsilon, int axis) {
  if (const int a = checked_axis("rms_norm", x, axis); a != x.rank() - 1)
    return moved_back(rms_norm(transpose(x, a, -1), weight, epsilon), a);
  check_norm_arguments("rms_norm", x, weight, Tensor());
  const NormResult result = allocate_norm(x, false);
  launch(call::RmsNorm{as_rows(x), contiguous_or_undefined(weight), epsilon, rows_of(result)});
  return result;
}

NormGradient rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                               const NormResult& saved) {
  const NormGradient result = allocate_norm_gradient("rms_norm_gradient", g, x, weight, false);
  launch(call::RmsNormGradient{as_rows(g), as_rows(x), contiguous_or_undefined(weight),
                               checked_saved_norm("rms_norm_gradient", as_rows(x), saved, false),
                               rows_of(result)});
  return result;
}

}  // namespace haze

#include "haze/engine/ops/adaptive_norm.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_rows(const char* operation, const char* argument, const Tensor& x, const Tensor& index) {
  check_real(operation, argument, x);
  check_rank(operation, argument, x, 2);
  check_dtype(operation, "index", index, Dtype::int32);
  check_shape(operation, "index", index, {x.size(0)});
}

// `like` is another modulation, or undefined.
void check_modulation(const char* operation, const char* argument, const Tensor& modulation, const Tensor& x,
                      const Tensor& like = {}) {
  check_same_dtype(operation, x, modulation);
  check_rank(operation, argument, modulation, 2);
  check_shape(operation, argument, modulation, {(like.defined() ? like : modulation).size(0), x.size(1)});
}

void check_like(const char* operation, const char* argument, const Tensor& y, const Tensor& x) {
  check_same_dtype(operation, x, y);
  check_shape(operation, argument, y, x.shape());
}

Tensor modulation_gradient(const Tensor& modulation) {
  return Tensor(modulation.shape(), modulation.dtype(), modulation.device());
}

}  // namespace

NormResult adaptive_layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& index,
                               double epsilon) {
  check_rows("adaptive_layer_norm", "x", x, index);
  check_modulation("adaptive_layer_norm", "scale", scale, x);
  check_modulation("adaptive_layer_norm", "shift", shift, x, scale);
  const auto made = [&](const Shape& shape) { return Tensor(shape, x.dtype(), x.device()); };
  const NormResult result{made(x.shape()), made({x.size(0)}), made({x.size(0)})};
  launch(call::AdaptiveLayerNorm{contiguous(x), unit_last_stride(scale), unit_last_stride(shift),
                                 contiguous(index), epsilon, result});
  return result;
}

NormGradient adaptive_layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& scale,
                                          const Tensor& index, const NormResult& saved) {
  check_rows("adaptive_layer_norm_gradient", "x", x, index);
  check_like("adaptive_layer_norm_gradient", "g", g, x);
  check_modulation("adaptive_layer_norm_gradient", "scale", scale, x);
  const NormGradient result{Tensor(x.shape(), x.dtype(), x.device()), modulation_gradient(scale),
                            modulation_gradient(scale)};
  launch(call::AdaptiveLayerNormGradient{
      contiguous(g), contiguous(x), unit_last_stride(scale), contiguous(index),
      checked_saved_norm("adaptive_layer_norm_gradient", x, saved, true), result});
  return result;
}

Tensor gated_add(const Tensor& x, const Tensor& gate, const Tensor& branch, const Tensor& index) {
  check_rows("gated_add", "x", x, index);
  check_modulation("gated_add", "gate", gate, x);
  check_like("gated_add", "branch", branch, x);
  const Tensor result(x.shape(), x.dtype(), x.device());
  launch(
      call::GatedAdd{contiguous(x), unit_last_stride(gate), contiguous(branch), contiguous(index), result});
  return result;
}

std::pair<Tensor, Tensor> gated_add_gradient(const Tensor& g, const Tensor& gate, const Tensor& branch,
                                             const Tensor& index) {
  check_rows("gated_add_gradient", "branch", branch, index);
  check_like("gated_add_gradient", "g", g, branch);
  check_modulation("gated_add_gradient", "gate", gate, branch);
  const std::pair result{modulation_gradient(gate), Tensor(branch.shape(), branch.dtype(), branch.device())};
  launch(call::GatedAddGradient{contiguous(g), unit_last_stride(gate), contiguous(branch), contiguous(index),
                                result.first, result.second});
  return result;
}

}  // namespace haze

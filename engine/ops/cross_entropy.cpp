#include "haze/engine/ops/cross_entropy.h"

#include "haze/engine/checks.h"

namespace haze {
double call::LinearCrossEntropy::flops() const {
  const double products = row_weights.defined() ? 3 : 1;  // logits; gradients of hidden and of weight
  return 2 * products * static_cast<double>(hidden.size(0)) * static_cast<double>(weight.size(0)) *
         static_cast<double>(hidden.size(1));
}

CrossEntropyResult linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                                        const Tensor& targets, const Tensor& row_weights, Precision precision,
                                        std::optional<int32_t> ignored) {
  constexpr const char* kName = "linear_cross_entropy";
  check_floating(kName, "hidden", hidden);
  check_rank(kName, "hidden", hidden, 2);
  check_same_dtype(kName, hidden, weight);
  check_rank(kName, "weight", weight, 2);
  check_shape(kName, "weight", weight, {weight.size(0), hidden.size(1)});
  check_dtype(kName, "targets", targets, Dtype::int32);
  check_shape(kName, "targets", targets, {hidden.size(0)});
  if (bias.defined()) {
    check_same_dtype(kName, hidden, bias);
    check_shape(kName, "bias", bias, {weight.size(0)});
  }
  const Dtype statistics = wide_dtype(hidden.dtype());
  CrossEntropyResult result;
  result.losses = Tensor({hidden.size(0)}, statistics, hidden.device());
  if (row_weights.defined()) {
    check_dtype(kName, "row_weights", row_weights, statistics);
    check_shape(kName, "row_weights", row_weights, {hidden.size(0)});
    result.hidden = Tensor(hidden.shape(), hidden.dtype(), hidden.device());
    result.weight = Tensor(weight.shape(), weight.dtype(), weight.device());
    if (bias.defined()) result.bias = Tensor(bias.shape(), bias.dtype(), bias.device());
  }
  launch(call::LinearCrossEntropy{contiguous(hidden), contiguous(weight), contiguous_or_undefined(bias),
                                  contiguous(targets), contiguous_or_undefined(row_weights), precision,
                                  ignored, result});
  return result;
}

}  // namespace haze

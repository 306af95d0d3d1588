#include "haze/diffusion/discrete/confidence.h"

#include <algorithm>
#include <cmath>

#include "haze/diffusion/token_filter.h"
#include "haze/engine/ops.h"

namespace haze {

Tensor two_largest_probabilities(const Tensor& logits, const std::vector<int32_t>& forbidden) {
  const Tensor allowed = cast(filtered_logits(logits, {.forbidden = forbidden}), Dtype::float64);
  const Tensor weights = unary(UnaryOp::exp, subtract(allowed, reduce(ReduceOp::max, allowed, {1}, true)));
  const Tensor largest = top_k(weights, std::min<int64_t>(weights.size(1), 2)).first;
  return divide(pad(largest, 1, 0, 2 - largest.size(1)), sum(weights, {1}, true));
}

std::vector<double> checked_confidences(const Tensor& column) {
  std::vector<double> confidences = column.to_vector<double>();
  for (const double confidence : confidences) {
    if (std::isnan(confidence)) fail("sampling: the network's logits are no distribution: NaN or infinity");
  }
  return confidences;
}

}  // namespace haze

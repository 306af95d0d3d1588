#include "haze/engine/ops/categorical.h"

#include "haze/engine/checks.h"

namespace haze {
Tensor categorical(const Tensor& log_probabilities, const Tensor& uniforms) {
  check_floating("categorical", "log_probabilities", log_probabilities);
  check_rank("categorical", "log_probabilities", log_probabilities, 2);
  check_dtype("categorical", "uniforms", uniforms, Dtype::float64);
  check_shape("categorical", "uniforms", uniforms, {log_probabilities.size(0)});
  Tensor result({log_probabilities.size(0)}, Dtype::int32, log_probabilities.device());
  launch(call::Categorical{contiguous(log_probabilities), contiguous(uniforms), {}, result});
  return result;
}

Tensor categorical(const Tensor& log_probabilities, RandomPosition position) {
  check_floating("categorical", "log_probabilities", log_probabilities);
  check_rank("categorical", "log_probabilities", log_probabilities, 2);
  Tensor result({log_probabilities.size(0)}, Dtype::int32, log_probabilities.device());
  launch(call::Categorical{contiguous(log_probabilities), Tensor(), position, result});
  return result;
}

}  // namespace haze

#include "haze/diffusion/discrete/transition_matrices.h"

#include "haze/engine/error.h"

namespace haze {

Tensor absorbing_transition(int64_t states, int64_t mask, double beta) {
  if (mask < 0 || mask >= states) fail("absorbing_transition: mask {} is not one of {} states", mask, states);
  if (!(beta >= 0 && beta <= 1)) fail("absorbing_transition: beta {} is not in [0, 1]", beta);
  const Tensor q = zeros({states, states}, Dtype::float64);
  double* entries = q.data<double>();
  for (int64_t i = 0; i < states; ++i) {
    entries[i * states + i] = 1 - beta;
    entries[i * states + mask] += beta;
  }
  return q;
}

Tensor uniform_transition(int64_t states, double beta) {
  if (!(beta >= 0 && beta <= 1)) fail("uniform_transition: beta {} is not in [0, 1]", beta);
  const Tensor q = full({states, states}, beta / static_cast<double>(states), Dtype::float64);
  double* entries = q.data<double>();
  for (int64_t i = 0; i < states; ++i) entries[i * states + i] += 1 - beta;
  return q;
}

Tensor transition_step(const Tensor& distribution, const Tensor& transition) {
  if (distribution.rank() == 1) return reshape(transition_step(unsqueeze(distribution, 0), transition), {-1});
  return matmul(distribution, transition);
}

Tensor posterior(int64_t x_t, int64_t x_0, const Tensor& transition, const Tensor& cumulative_before) {
  const int64_t states = transition.size(0);
  if (x_t < 0 || x_t >= states || x_0 < 0 || x_0 >= states) {
    fail("posterior: x_t = {} and x_0 = {} must be among {} states", x_t, x_0, states);
  }
  const Tensor from_t = reshape(slice(transition, 1, x_t, x_t + 1), {states});         // q(x_t | x_{t-1} = i)
  const Tensor from_0 = reshape(slice(cumulative_before, 0, x_0, x_0 + 1), {states});  // q(x_{t-1} = i | x_0)
  const Tensor joint = multiply(from_t, from_0);
  const Tensor total = sum(joint);  // q(x_t | x_0)
  if (total.item() == 0) fail("posterior: x_t = {} cannot come from x_0 = {}", x_t, x_0);
  return divide(joint, total);
}

}  // namespace haze

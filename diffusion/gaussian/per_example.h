#pragma once

#include <vector>

#include "haze/engine/ops.h"

/// One number for each example of a batch.
namespace haze {

/// The numbers as a tensor that broadcasts to x [n, ...], of its dtype and on its device.
inline Tensor per_example(const std::vector<double>& numbers, const Tensor& x) {
  Shape shape{std::ssize(numbers)};
  for (int axis = 1; axis < x.rank(); ++axis) shape.append(1);
  return cast(Tensor::from(numbers, shape, x.device()), x.dtype());
}

/// f(t) of each example, t int32 [n] in 0 or 1..T. Steps are the host's: which noise an example gets is
/// planned there.
template <typename F>
std::vector<double> of_each(const Tensor& t, F f) {
  std::vector<double> result;
  for (const int32_t step : t.to_vector<int32_t>()) result.push_back(f(static_cast<size_t>(step)));
  return result;
}

/// f(t) of each example, to be broadcast to x.
template <typename F>
Tensor at_steps(const Tensor& t, const Tensor& x, F f) {
  return per_example(of_each(t, f), x);
}

inline double numbers_per_example(const Tensor& x) {
  return static_cast<double>(x.elements()) / static_cast<double>(x.size(0));
}

}  // namespace haze

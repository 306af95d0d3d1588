#pragma once

#include <cstdint>

namespace haze {

/// The factors of one AdamW step, computed once in float64.
template <typename T>
struct AdamWFactors {
  T gradient_scale, beta1, one_minus_beta1, beta2, one_minus_beta2;
  T second_correction;  // 1 / (1 - beta2^step)
  T step_size;          // learning rate / (1 - beta1^step)
  T epsilon;
  T keep;  // 1 - learning rate x weight decay
};

template <typename T>
using AdamWFunction = void (*)(T* parameter, const T* gradient, T* first_moment, T* second_moment,
                               int64_t count, const AdamWFactors<T>& factors);

}  // namespace haze

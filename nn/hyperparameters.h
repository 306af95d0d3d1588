#pragma once

#include <string_view>

#include "haze/engine/dtype.h"

namespace haze {

/// Checks of hyperparameters in the dtype that they are used in. A positive number that underflows to 0
/// there, or one below 1 that rounds to 1, loses its meaning without a sign of it. Each check throws Error
/// with a sentence that begins with `what`, such as "AdamW's beta1". The limits are those of float64 for
/// float64, and of float32 for every other dtype.

/// Throws Error unless value >= 0, finite in `dtype`, and 0 there only where it is 0.
void check_not_negative(double value, std::string_view what, Dtype dtype);

/// Throws Error unless 0 <= value < 1, also in `dtype`, and 0 there only where it is 0.
void check_fraction(double value, std::string_view what, Dtype dtype);

/// A term of a denominator: throws Error unless value > 0, finite in `dtype` and at least its smallest normal
/// number. Below that, processors that flush subnormal numbers to 0 divide by 0.
void check_denominator(double value, std::string_view what, Dtype dtype);

/// The coefficient of decoupled weight decay: as check_not_negative(). Besides, 1 - value must not round to 1
/// in `dtype` unless value is 0: it would change no parameter even at a learning rate of 1.
void check_weight_decay(double value, std::string_view what, Dtype dtype);

}  // namespace haze

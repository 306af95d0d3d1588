#pragma once

#include <cstdint>

namespace haze {

/// One head: out = x with each pair (x[i], x[half + i]) turned by the angle of cosine[i] and sine[i].
template <typename T>
using RotarySpan = void (*)(const T* x, const T* cosine, const T* sine, int64_t half, T* out);

/// The best version for this processor; T is float or double.
template <typename T>
RotarySpan<T> rotary_span(bool inverse);

}  // namespace haze

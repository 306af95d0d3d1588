#pragma once

#include <cstdint>

#include "haze/engine/generator.h"

/// Vector kernels of random numbers.
namespace haze {

/// words[0..count) become words [first, first + count) of the stream that begins at `position`: word w is
/// word w % 4 of counter w / 4.
void random_words(const RandomPosition& position, int64_t first, int64_t count, uint32_t* words);

/// out[i] = x[i] scale where words[i] >= threshold, otherwise 0. `out` may be `x`.
template <typename T>
using DropoutSpan = void (*)(const T* x, const uint32_t* words, int64_t count, uint32_t threshold, T scale,
                             T* out);

/// The best version for this processor; T is float or double.
template <typename T>
DropoutSpan<T> dropout_span();

/// out[0..count) become normal numbers, with the same bits on every instruction set. Elements 2i and 2i + 1
/// are the pair that box_muller.h makes: u from the words of element 2i, v from those of element 2i + 1. An
/// element has one word for float and two for double, the upper first. An odd count has the words of count +
/// 1 elements.
template <typename T>
using NormalSpan = void (*)(const uint32_t* words, int64_t count, T mean, T deviation, T* out);
template <typename T>
NormalSpan<T> normal_span();

}  // namespace haze

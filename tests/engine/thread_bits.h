#pragma once

#include <cstring>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/ops.h"

namespace haze::test {

/// Whether two tensors have equal shapes, dtypes and bits.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  const Tensor x = contiguous(a), y = contiguous(b);
  return x.shape() == y.shape() && x.dtype() == y.dtype() &&
         std::memcmp(x.raw(), y.raw(), static_cast<size_t>(x.elements()) * size_of(x.dtype())) == 0;
}

/// Whether make() gives the same bits on one, two and three threads.
template <typename Make>
bool same_bits_on_threads(Make&& make) {
  const int before = threads();
  set_threads(1);
  const Tensor one = make();
  bool same = true;
  for (int count = 2; count <= 3; ++count) {
    set_threads(count);
    same = same && same_bits(one, make());
  }
  set_threads(before);
  return same;
}

}  // namespace haze::test

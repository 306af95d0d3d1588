#include "haze/engine/ops/copy.h"

#include <cstring>

#include "haze/engine/cpu/simd/widen.h"
#include "haze/engine/cpu/strided.h"

namespace haze {
namespace {

// Whether there is a kernel for these dtypes side by side; then it has run.
template <typename X, typename Y>
bool copy_contiguous(const X* from, Y* to, int64_t count) {
  if constexpr (std::is_same_v<X, Y>) {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(X));
  } else if constexpr (std::is_same_v<X, bfloat16> && std::is_same_v<Y, float>) {
    widen_spans().widen(from, to, count);
  } else if constexpr (std::is_same_v<X, float> && std::is_same_v<Y, bfloat16>) {
    widen_spans().narrow(from, to, count);
  } else {
    return false;
  }
  return true;
}

template <typename X, typename Y>
void copy_elements(const Tensor& x, const Tensor& out) {
  const StridedLayout<2> layout(out.shape(), {&x, &out});
  const int64_t from = layout.inner_stride(0), to = layout.inner_stride(1);
  const X* source = x.data<X>();
  Y* target = out.data<Y>();
  for_each_run(layout, [&](const std::array<int64_t, 2>& at, int64_t count) {
    const X* s = source + at[0];
    Y* t = target + at[1];
    if (from == 1 && to == 1 && copy_contiguous(s, t, count)) return;
    for (int64_t i = 0; i < count; ++i) t[i * to] = converted<Y>(s[i * from]);
  });
}

// A matrix read across its rows and written along them, by tiles that fit in the cache on both sides.
template <typename T>
void copy_transposed(const T* source, int64_t source_stride, T* target, int64_t rows, int64_t columns) {
  constexpr int64_t kTile = 32;
  const int64_t row_tiles = (rows + kTile - 1) / kTile;
  parallel_for(row_tiles, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first * kTile; row < std::min(rows, last * kTile); row += kTile) {
      for (int64_t column = 0; column < columns; column += kTile) {
        for (int64_t i = row; i < std::min(rows, row + kTile); ++i) {
          for (int64_t j = column; j < std::min(columns, column + kTile); ++j) {
            target[i * columns + j] = source[j * source_stride + i];
          }
        }
      }
    }
  });
}

template <typename T>
bool copy_as_transpose(const Tensor& x, const Tensor& out) {
  const StridedLayout<2> layout(out.shape(), {&x, &out});
  if (layout.shape.rank() != 2 || layout.strides[0][0] != 1 || layout.inner_stride(1) != 1 ||
      layout.strides[1][0] != layout.shape[1]) {
    return false;
  }
  copy_transposed(x.data<T>(), layout.strides[0][1], out.data<T>(), layout.shape[0], layout.shape[1]);
  return true;
}

}  // namespace

void call::Copy::run(Cpu) const {
  dispatch(x.dtype(), [&](auto x_tag) {
    using X = decltype(x_tag);
    if (x.dtype() == out.dtype() && copy_as_transpose<X>(x, out)) return;
    dispatch(out.dtype(), [&](auto out_tag) { copy_elements<X, decltype(out_tag)>(x, out); });
  });
}

}  // namespace haze

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/result_writer.h"
#include "haze/engine/cpu/spans.h"
#include "haze/engine/cpu/strided.h"

// Strided loops around the span kernels of spans.cpp, and the copies and comparisons that need no vector code
// of their own.
namespace haze {
namespace {

template <typename X, typename Y>
void copy_elements(const Tensor& x, const Tensor& out) {
  const StridedLayout<2> layout(out.shape(), {&x, &out});
  const int64_t from = layout.inner_stride(0), to = layout.inner_stride(1);
  const X* source = x.data<X>();
  Y* target = out.data<Y>();
  for_each_run(layout, [&](const std::array<int64_t, 2>& at, int64_t count) {
    const X* s = source + at[0];
    Y* t = target + at[1];
    if constexpr (std::is_same_v<X, Y>) {
      if (from == 1 && to == 1) {
        std::memcpy(t, s, static_cast<size_t>(count) * sizeof(X));
        return;
      }
    }
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

/// f(step), as a constant where step is 0 or 1: the compiler makes vector code of loops with these.
template <typename F>
void with_step(int64_t step, F&& f) {
  if (step == 1) return f(std::integral_constant<int64_t, 1>());
  if (step == 0) return f(std::integral_constant<int64_t, 0>());
  f(step);
}

template <typename T>
void compare_elements(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) {
  const StridedLayout<3> layout(out.shape(), {&x, &y, &out});
  const auto run = [&](auto holds) {
    for_each_run(layout, [&](const std::array<int64_t, 3>& at, int64_t count) {
      const T* xs = x.data<T>() + at[0];
      const T* ys = y.data<T>() + at[1];
      uint8_t* __restrict result = out.data<uint8_t>() + at[2];
      with_step(layout.inner_stride(0), [&](auto x_step) {
        with_step(layout.inner_stride(1), [&](auto y_step) {
          for (int64_t i = 0; i < count; ++i) result[i] = holds(xs[i * x_step], ys[i * y_step]);
        });
      });
    });
  };
  switch (op) {
    case CompareOp::equal:
      return run([](T a, T b) { return a == b; });
    case CompareOp::not_equal:
      return run([](T a, T b) { return a != b; });
    case CompareOp::less:
      return run([](T a, T b) { return a < b; });
    case CompareOp::less_equal:
      return run([](T a, T b) { return a <= b; });
    case CompareOp::greater:
      return run([](T a, T b) { return a > b; });
    case CompareOp::greater_equal:
      return run([](T a, T b) { return a >= b; });
    case CompareOp::kCount:
      break;
  }
}

template <typename T>
void binary_elements(BinarySpan<T> span, const Tensor& x, const Tensor& y, const Tensor& out) {
  const StridedLayout<3> layout(out.shape(), {&x, &y, &out});
  const int64_t x_step = layout.inner_stride(0), y_step = layout.inner_stride(1);
  const ResultWriter<T> writer(out, {&x, &y});
  for_each_run(layout, [&](const std::array<int64_t, 3>& at, int64_t count) {
    const T* xs = x.data<T>() + at[0];
    const T* ys = y.data<T>() + at[1];
    T* result = out.data<T>() + at[2];
    if (x_step == 1 && y_step == 1) {
      writer.write(result, count, [&](T* to, int64_t i, int64_t n) { span(xs + i, ys + i, to, n); });
      return;
    }
    alignas(64) T x_buffer[kChunk], y_buffer[kChunk];
    for (int64_t i = 0; i < count; i += kChunk) {
      const int64_t n = std::min(kChunk, count - i);
      span(packed(xs + i * x_step, x_step, n, x_buffer), packed(ys + i * y_step, y_step, n, y_buffer),
           result + i, n);
    }
  });
}

}  // namespace

void CpuBackend::fill(const Tensor& out, double value) {
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const StridedLayout<1> layout(out.shape(), {&out});
    const int64_t step = layout.inner_stride(0);
    const T converted_value = converted<T>(value);
    for_each_run(layout, [&](const std::array<int64_t, 1>& at, int64_t count) {
      T* target = out.data<T>() + at[0];
      for (int64_t i = 0; i < count; ++i) target[i * step] = converted_value;
    });
  });
}

void CpuBackend::copy(const Tensor& x, const Tensor& out) {
  dispatch(x.dtype(), [&](auto x_tag) {
    using X = decltype(x_tag);
    if (x.dtype() == out.dtype() && copy_as_transpose<X>(x, out)) return;
    dispatch(out.dtype(), [&](auto out_tag) { copy_elements<X, decltype(out_tag)>(x, out); });
  });
}

void CpuBackend::arange(const Tensor& out) {
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    T* values = out.data<T>();
    for (int64_t i = 0; i < out.elements(); ++i) values[i] = converted<T>(i);
  });
}

void CpuBackend::unary(UnaryOp op, const Tensor& x, double a, double b, const Tensor& out) {
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const UnarySpan<T> span = unary_span<T>(op);
    const StridedLayout<2> layout(out.shape(), {&x, &out});
    const int64_t step = layout.inner_stride(0);
    const T first = static_cast<T>(a), second = static_cast<T>(b);
    const ResultWriter<T> writer(out, {&x});
    for_each_run(layout, [&](const std::array<int64_t, 2>& at, int64_t count) {
      const T* xs = x.data<T>() + at[0];
      T* result = out.data<T>() + at[1];
      if (step == 1) {
        writer.write(result, count, [&](T* to, int64_t i, int64_t n) { span(xs + i, to, n, first, second); });
        return;
      }
      alignas(64) T buffer[kChunk];
      for (int64_t i = 0; i < count; i += kChunk) {
        const int64_t n = std::min(kChunk, count - i);
        span(packed(xs + i * step, step, n, buffer), result + i, n, first, second);
      }
    });
  });
}

void CpuBackend::binary(BinaryOp op, const Tensor& x, const Tensor& y, const Tensor& out) {
  if (x.dtype() == Dtype::int32) {
    binary_elements(integer_binary_span(op), x, y, out);
  } else {
    dispatch_real(x.dtype(), [&](auto tag) { binary_elements(binary_span<decltype(tag)>(op), x, y, out); });
  }
}

void CpuBackend::compare(CompareOp op, const Tensor& x, const Tensor& y, const Tensor& out) {
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, bfloat16>) compare_elements<T>(op, x, y, out);
  });
}

void CpuBackend::where(const Tensor& condition, const Tensor& x, const Tensor& y, const Tensor& out) {
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const StridedLayout<4> layout(out.shape(), {&condition, &x, &y, &out});
    const int64_t c_step = layout.inner_stride(0);
    for_each_run(layout, [&](const std::array<int64_t, 4>& at, int64_t count) {
      const uint8_t* cs = condition.data<uint8_t>() + at[0];
      const T* xs = x.data<T>() + at[1];
      const T* ys = y.data<T>() + at[2];
      T* __restrict result = out.data<T>() + at[3];
      with_step(layout.inner_stride(1), [&](auto x_step) {
        with_step(layout.inner_stride(2), [&](auto y_step) {
          for (int64_t i = 0; i < count; ++i) {
            const T a = xs[i * x_step],
                    b = ys[i * y_step];  // both: a branch would be guessed wrong half the time
            result[i] = cs[i * c_step] ? a : b;
          }
        });
      });
    });
  });
}

}  // namespace haze

#include "haze/engine/ops/elementwise.h"

#include <algorithm>

#include "haze/engine/cpu/simd/result_writer.h"
#include "haze/engine/cpu/simd/spans.h"
#include "haze/engine/cpu/simd/widen.h"
#include "haze/engine/cpu/strided.h"

// Strided loops around the span kernels of spans.cpp, and the comparisons that need no vector code of their
// own.
namespace haze {
namespace {

/// f(step), as a constant where step is 0 or 1: the compiler makes vector code of loops with these.
template <typename F>
void with_step(int64_t step, F&& f) {
  if (step == 1) return f(std::integral_constant<int64_t, 1>());
  if (step == 0) return f(std::integral_constant<int64_t, 0>());
  f(step);
}

// What a dtype computes in.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;

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
          for (int64_t i = 0; i < count; ++i) {
            result[i] = holds(static_cast<Wide<T>>(xs[i * x_step]), static_cast<Wide<T>>(ys[i * y_step]));
          }
        });
      });
    });
  };
  switch (op) {
    case CompareOp::equal:
      return run([](auto a, auto b) { return a == b; });
    case CompareOp::not_equal:
      return run([](auto a, auto b) { return a != b; });
    case CompareOp::less:
      return run([](auto a, auto b) { return a < b; });
    case CompareOp::less_equal:
      return run([](auto a, auto b) { return a <= b; });
    case CompareOp::greater:
      return run([](auto a, auto b) { return a > b; });
    case CompareOp::greater_equal:
      return run([](auto a, auto b) { return a >= b; });
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

// bfloat16: chunks are widened into buffers that stay in the first-level cache, and rounded once.
void binary_bfloat16(BinarySpan<float> span, const Tensor& x, const Tensor& y, const Tensor& out) {
  const StridedLayout<3> layout(out.shape(), {&x, &y, &out});
  const int64_t x_step = layout.inner_stride(0), y_step = layout.inner_stride(1);
  for_each_run(layout, [&](const std::array<int64_t, 3>& at, int64_t count) {
    const bfloat16* xs = x.data<bfloat16>() + at[0];
    const bfloat16* ys = y.data<bfloat16>() + at[1];
    alignas(64) float x_buffer[kChunk], y_buffer[kChunk];
    for (int64_t i = 0; i < count; i += kChunk) {
      const int64_t n = std::min(kChunk, count - i);
      packed(xs + i * x_step, x_step, n, x_buffer);
      packed(ys + i * y_step, y_step, n, y_buffer);
      span(x_buffer, y_buffer, x_buffer, n);
      widen_spans().narrow(x_buffer, out.data<bfloat16>() + at[2] + i, n);
    }
  });
}

void unary_bfloat16(const call::Unary& call) {
  const UnarySpan<float> span = unary_span<float>(call.op);
  const StridedLayout<2> layout(call.out.shape(), {&call.x, &call.out});
  const int64_t step = layout.inner_stride(0);
  const auto a = static_cast<float>(call.a), b = static_cast<float>(call.b);
  for_each_run(layout, [&](const std::array<int64_t, 2>& at, int64_t count) {
    alignas(64) float buffer[kChunk];
    for (int64_t i = 0; i < count; i += kChunk) {
      const int64_t n = std::min(kChunk, count - i);
      packed(call.x.data<bfloat16>() + at[0] + i * step, step, n, buffer);
      span(buffer, buffer, n, a, b);
      widen_spans().narrow(buffer, call.out.data<bfloat16>() + at[1] + i, n);
    }
  });
}

}  // namespace

void call::Unary::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return unary_bfloat16(*this);
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

void call::Binary::run(Cpu) const {
  if (x.dtype() == Dtype::int32) {
    binary_elements(integer_binary_span(op), x, y, out);
  } else if (x.dtype() == Dtype::bfloat16) {
    binary_bfloat16(binary_span<float>(op), x, y, out);
  } else {
    dispatch_real(x.dtype(), [&](auto tag) { binary_elements(binary_span<decltype(tag)>(op), x, y, out); });
  }
}

void call::Compare::run(Cpu) const {
  dispatch(x.dtype(), [&](auto tag) { compare_elements<decltype(tag)>(op, x, y, out); });
}

void call::Where::run(Cpu) const {
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

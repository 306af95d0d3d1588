#include "haze/engine/ops/softmax.h"

#include <cmath>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/simd/result_writer.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/simd/spans.h"

namespace haze {
namespace {

// Calls row(i) for each row of a [rows, columns] tensor, in parallel.
template <typename F>
void for_each_row(const Tensor& x, F&& row) {
  const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(x.size(1), 1));
  parallel_for(x.size(0), grain, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) row(i);
  });
}

template <typename T>
void softmax_row(const T* x, T* out, int64_t columns, bool log, UnarySpan<T> scale_shift) {
  const RowSpans<T>& spans = row_spans<T>();
  const T max = spans.max(x, columns);
  if (std::isinf(max) && max < 0) {  // nothing is possible: probabilities 0, not NaN
    std::fill_n(out, columns, log ? max : T{0});
  } else if (log) {
    const double log_sum = std::log(spans.sum_exp(x, columns, max));
    // In two steps: the maximum and the logarithm added first would lose the digits of the smaller.
    scale_shift(x, out, columns, T{1}, -max);
    scale_shift(out, out, columns, T{1}, static_cast<T>(-log_sum));
  } else {
    const double sum = spans.exp_and_sum(x, out, columns, max);
    scale_shift(out, out, columns, static_cast<T>(1 / sum), T{0});
  }
}

}  // namespace

void call::Softmax::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(x.size(0), x.size(1), [&](int64_t first, int64_t last) {
      return Softmax{slice(x, 0, first, last), log, slice(out, 0, first, last)};
    });
  }
  const int64_t columns = x.size(1);
  if (x.elements() == 0) return;
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const UnarySpan<T> scale_shift = unary_span<T>(UnaryOp::scale_shift);
    const ResultWriter<T> writer(out, {&x});
    for_each_row(x, [&](int64_t i) {
      writer.write_row(out.data<T>() + i * columns, columns,
                       [&](T* to) { softmax_row(x.data<T>() + i * columns, to, columns, log, scale_shift); });
    });
  });
}

void call::SoftmaxGradient::run(Cpu) const {
  if (y.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(y.size(0), y.size(1), [&](int64_t first, int64_t last) {
      return SoftmaxGradient{slice(y, 0, first, last), slice(g, 0, first, last), log,
                             slice(out, 0, first, last)};
    });
  }
  const int64_t columns = y.size(1);
  if (y.elements() == 0) return;
  dispatch_real(y.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const RowSpans<T>& spans = row_spans<T>();
    const ResultWriter<T> writer(out, {&y, &g});
    for_each_row(y, [&](int64_t i) {
      const T* y_row = y.data<T>() + i * columns;
      const T* g_row = g.data<T>() + i * columns;
      const double sum = log ? spans.sum(g_row, columns) : spans.dot(g_row, y_row, columns);
      const auto gradient = log ? spans.log_softmax_gradient : spans.softmax_gradient;
      writer.write_row(out.data<T>() + i * columns, columns,
                       [&](T* to) { gradient(y_row, g_row, static_cast<T>(sum), to, columns); });
    });
  });
}

}  // namespace haze

#include "haze/engine/ops/reduce.h"

#include <cmath>
#include <limits>

#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/row_blocks.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/strided.h"

namespace haze {
namespace {

constexpr int64_t kColumnBlock = 128;  // columns that one task reduces together
constexpr int64_t kSumRows = 128;      // rows that are summed in the element type

template <typename T>
double reduce_row(ReduceOp op, const T* x, int64_t count, double correction) {
  const RowSpans<T>& spans = row_spans<T>();
  const auto sum = [&] {
    return over_blocks(
        count, 0, [&](int64_t i, int64_t n) { return spans.sum(x + i, n); }, plus);
  };
  const auto max = [&] {
    return over_blocks(
        count, -std::numeric_limits<double>::infinity(),
        [&](int64_t i, int64_t n) { return static_cast<double>(spans.max(x + i, n)); }, larger);
  };
  switch (op) {
    case ReduceOp::sum:
      return sum();
    case ReduceOp::mean:
      return sum() / static_cast<double>(count);
    case ReduceOp::max:
      return max();
    case ReduceOp::min:
      return over_blocks(
          count, std::numeric_limits<double>::infinity(),
          [&](int64_t i, int64_t n) { return static_cast<double>(spans.min(x + i, n)); }, smaller);
    case ReduceOp::logsumexp: {
      const double shift = max();
      if (std::isinf(shift) || std::isnan(shift)) return shift;
      return shift +
             std::log(over_blocks(
                 count, 0,
                 [&](int64_t i, int64_t n) { return spans.sum_exp(x + i, n, static_cast<T>(shift)); }, plus));
    }
    case ReduceOp::variance: {
      const auto mean = static_cast<T>(sum() / static_cast<double>(count));
      return over_blocks(
                 count, 0, [&](int64_t i, int64_t n) { return spans.sum_square(x + i, n, mean); }, plus) /
             (static_cast<double>(count) - correction);
    }
    case ReduceOp::kCount:
      break;
  }
  return 0;
}

// Reduces `width` (at most kColumnBlock) columns of `count` rows that lie `stride` apart.
template <typename T>
class ColumnReducer {
 public:
  ColumnReducer(const T* x, int64_t count, int64_t stride, int64_t width)
      : x_(x), count_(count), stride_(stride), width_(width) {}

  void run(ReduceOp op, double correction, T* out) {
    switch (op) {
      case ReduceOp::sum:
      case ReduceOp::mean:
        total([&](T* block, const T* row) { spans_.add(block, row, width_); });
        store(out, op == ReduceOp::mean ? 1.0 / static_cast<double>(count_) : 1.0);
        return;
      case ReduceOp::max:
        extremum(-std::numeric_limits<T>::infinity(), spans_.keep_max, out);
        return;
      case ReduceOp::min:
        extremum(std::numeric_limits<T>::infinity(), spans_.keep_min, out);
        return;
      case ReduceOp::logsumexp:
        logsumexp(out);
        return;
      case ReduceOp::variance: {
        total([&](T* block, const T* row) { spans_.add(block, row, width_); });
        T mean[kColumnBlock];
        for (int64_t j = 0; j < width_; ++j)
          mean[j] = static_cast<T>(totals_[j] / static_cast<double>(count_));
        total([&](T* block, const T* row) { spans_.add_square(block, row, mean, width_); });
        store(out, 1.0 / (static_cast<double>(count_) - correction));
        return;
      }
      case ReduceOp::kCount:
        return;
    }
  }

 private:
  // Sums in T over blocks of rows, in float64 across blocks.
  template <typename F>
  void total(F&& add_row) {
    std::fill_n(totals_, width_, 0.0);
    for (int64_t first = 0; first < count_; first += kSumRows) {
      T block[kColumnBlock] = {};
      for (int64_t i = first; i < std::min(count_, first + kSumRows); ++i) add_row(block, x_ + i * stride_);
      for (int64_t j = 0; j < width_; ++j) totals_[j] += static_cast<double>(block[j]);
    }
  }

  void store(T* out, double scale) {
    for (int64_t j = 0; j < width_; ++j) out[j] = static_cast<T>(totals_[j] * scale);
  }

  void extremum(T start, void (*keep)(T*, const T*, int64_t), T* out) {
    std::fill_n(out, width_, start);
    for (int64_t i = 0; i < count_; ++i) keep(out, x_ + i * stride_, width_);
  }

  void logsumexp(T* out) {
    extremum(-std::numeric_limits<T>::infinity(), spans_.keep_max, out);
    total([&](T* block, const T* row) { spans_.add_exp(block, row, out, width_); });
    for (int64_t j = 0; j < width_; ++j) {
      if (std::isfinite(out[j])) out[j] = static_cast<T>(static_cast<double>(out[j]) + std::log(totals_[j]));
    }
  }

  const RowSpans<T>& spans_ = row_spans<T>();
  const T* x_;
  int64_t count_, stride_, width_;
  double totals_[kColumnBlock];
};

// out[j] = scale times the sum over `count` dense rows of `inner` columns, read in the order in which they
// lie: blocks of rows are summed in T, the sums of the blocks in float64, as ColumnReducer does.
template <typename T>
void sum_rows(const T* x, int64_t count, int64_t inner, double scale, T* out) {
  const int64_t blocks = (count + kSumRows - 1) / kSumRows;
  const Storage storage = allocate(static_cast<size_t>(blocks * inner) * sizeof(T));
  T* const parts = static_cast<T*>(storage.data());
  const RowSpans<T>& spans = row_spans<T>();
  parallel_for(count, kSumRows, [&](int64_t first, int64_t last) {
    T* part = parts + first / kSumRows * inner;
    std::fill_n(part, inner, T{0});
    for (int64_t i = first; i < last; ++i) spans.add(part, x + i * inner, inner);
  });
  parallel_for(inner, kColumnBlock, [&](int64_t first, int64_t last) {
    double totals[kColumnBlock] = {};
    for (int64_t b = 0; b < blocks; ++b) {
      for (int64_t j = first; j < last; ++j) totals[j - first] += static_cast<double>(parts[b * inner + j]);
    }
    for (int64_t j = first; j < last; ++j) out[j] = static_cast<T>(totals[j - first] * scale);
  });
}

template <typename T>
void reduce_elements(ReduceOp op, const Tensor& x, double correction, const Tensor& out) {
  const int64_t outer = x.size(0), count = x.size(1), inner = x.size(2);
  const T* source = x.data<T>();
  T* target = out.data<T>();
  if (inner == 1) {
    const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(count, 1));
    const auto rows = [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        target[i] = static_cast<T>(reduce_row(op, source + i * count, count, correction));
      }
    };
    // Few long rows are cut within the row, many short ones between rows.
    if (outer < 4 && count > kRowBlock) {
      rows(0, outer);
    } else {
      parallel_for(outer, grain, rows);
    }
    return;
  }
  if ((op == ReduceOp::sum || op == ReduceOp::mean) && outer == 1 && count > 2 * kSumRows &&
      count * inner > kElementGrain) {
    return sum_rows(source, count, inner, op == ReduceOp::mean ? 1.0 / static_cast<double>(count) : 1.0,
                    target);
  }
  const int64_t blocks = (inner + kColumnBlock - 1) / kColumnBlock;
  const int64_t grain = std::max<int64_t>(1, kElementGrain / std::max<int64_t>(count * kColumnBlock, 1));
  parallel_for(outer * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t o = task / blocks, j = task % blocks * kColumnBlock;
      ColumnReducer<T>(source + o * count * inner + j, count, inner, std::min(kColumnBlock, inner - j))
          .run(op, correction, target + o * inner + j);
    }
  });
}

}  // namespace

void call::Reduce::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(x.size(0), x.size(1) * x.size(2), [&](int64_t first, int64_t last) {
      return Reduce{op, slice(x, 0, first, last), correction, slice(out, 0, first, last)};
    });
  }
  dispatch_real(x.dtype(), [&](auto tag) { reduce_elements<decltype(tag)>(op, x, correction, out); });
}

}  // namespace haze

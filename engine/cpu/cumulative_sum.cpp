#include "haze/engine/ops/cumulative_sum.h"

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"

namespace haze {
namespace {

// Columns that run side by side, so that memory is read along its rows.
constexpr int64_t kColumns = 64;

// A wider type to add in: rounding (or overflow) happens once an element instead of building up.
template <typename T>
struct Accumulator {
  using Type = double;
};
template <>
struct Accumulator<int32_t> {
  using Type = int64_t;
};

template <typename T>
void scan(const T* x, T* out, int64_t count, int64_t inner, int64_t columns) {
  typename Accumulator<T>::Type sums[kColumns] = {};
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t column = 0; column < columns; ++column) {
      sums[column] += x[i * inner + column];
      out[i * inner + column] = static_cast<T>(sums[column]);
    }
  }
}

template <typename T>
void cumulative_sum_typed(const Tensor& x, const Tensor& out) {
  const int64_t count = x.size(1), inner = x.size(2);
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const T* from = x.data<T>();
  T* to = out.data<T>();
  const int64_t grain = rows_per_task(count * std::min(inner, kColumns));
  parallel_for(x.size(0) * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t column = task % blocks * kColumns;
      const int64_t offset = task / blocks * count * inner + column;
      scan(from + offset, to + offset, count, inner, std::min(kColumns, inner - column));
    }
  });
}

}  // namespace

void call::CumulativeSum::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(x.size(0), x.size(1) * x.size(2), [&](int64_t first, int64_t last) {
      return CumulativeSum{slice(x, 0, first, last), slice(out, 0, first, last)};
    });
  }
  if (x.dtype() == Dtype::int32) return cumulative_sum_typed<int32_t>(x, out);
  dispatch_real(x.dtype(), [&](auto tag) { cumulative_sum_typed<decltype(tag)>(x, out); });
}

}  // namespace haze

#include "haze/engine/ops/sort.h"

#include <algorithm>
#include <numeric>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"

namespace haze {
namespace {

// Whether the first of two indices of a row comes before the second. A total order: equal elements stand by
// index, which is what makes an unstable algorithm's result stable, and a NaN comes after every number.
template <typename T>
struct Before {
  const T* row;
  bool descending;

  bool operator()(int32_t a, int32_t b) const {
    const T x = row[a], y = row[b];
    if (x < y) return !descending;
    if (y < x) return descending;
    const bool x_is_nan = x != x, y_is_nan = y != y;
    return x_is_nan == y_is_nan ? a < b : y_is_nan;
  }
};

template <typename T>
void sort_row(const T* row, int64_t columns, bool descending, int32_t* indices) {
  std::iota(indices, indices + columns, 0);
  std::sort(indices, indices + columns, Before<T>{row, descending});
}

// `indices` is a heap of the best k so far with the worst of them on top.
template <typename T>
void top_k_row(const T* row, int64_t columns, int64_t k, int32_t* indices) {
  const Before<T> before{row, true};
  std::iota(indices, indices + k, 0);
  std::make_heap(indices, indices + k, before);
  for (int64_t i = k; i < columns && k > 0; ++i) {
    if (!before(static_cast<int32_t>(i), indices[0])) continue;
    std::pop_heap(indices, indices + k, before);
    indices[k - 1] = static_cast<int32_t>(i);
    std::push_heap(indices, indices + k, before);
  }
  std::sort_heap(indices, indices + k, before);
}

// Calls order(row, indices) for every row of x and fetches the values that it chose.
template <typename T, typename Order>
void order_rows(const Tensor& x, const Tensor& values, const Tensor& indices, Order&& order) {
  const int64_t columns = x.size(1), kept = indices.size(1);
  const T* from = x.data<T>();
  T* to = values.data<T>();
  int32_t* chosen = indices.data<int32_t>();
  constexpr int64_t kCost = 8;  // of an element, against one of element-by-element work
  parallel_for(x.size(0), rows_per_task(columns * kCost), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      order(from + row * columns, chosen + row * kept);
      for (int64_t i = row * kept; i < (row + 1) * kept; ++i) to[i] = from[row * columns + chosen[i]];
    }
  });
}

template <typename F>
void dispatch_ordered(Dtype dtype, F&& f) {
  if (dtype == Dtype::int32) return f(int32_t{});
  dispatch_real(dtype, f);
}

}  // namespace

void call::Sort::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(x.size(0), x.size(1), [&](int64_t first, int64_t last) {
      return Sort{slice(x, 0, first, last), descending, slice(values, 0, first, last),
                  slice(indices, 0, first, last)};
    });
  }
  dispatch_ordered(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    order_rows<T>(x, values, indices,
                  [&](const T* row, int32_t* chosen) { sort_row(row, x.size(1), descending, chosen); });
  });
}

void call::TopK::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) {
    return run_rows_in_float32(x.size(0), x.size(1), [&](int64_t first, int64_t last) {
      return TopK{slice(x, 0, first, last), slice(values, 0, first, last), slice(indices, 0, first, last)};
    });
  }
  dispatch_ordered(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    order_rows<T>(x, values, indices,
                  [&](const T* row, int32_t* chosen) { top_k_row(row, x.size(1), indices.size(1), chosen); });
  });
}

}  // namespace haze

#include "haze/engine/ops/indexing.h"

#include <limits>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"
#include "haze/engine/cpu/positions_by_index.h"
#include "haze/engine/cpu/simd/prefetch.h"
#include "haze/engine/cpu/simd/row_spans.h"
#include "haze/engine/cpu/value_checks.h"

// Copies and sums by index. The sums are cut between columns or between rows of the target, never between
// indices: whoever owns an element adds its terms in the order of the indices, so the bits do not depend on
// the number of threads, and no two threads write to one element.
namespace haze {
namespace {

constexpr int64_t kColumns = 32;

// Calls body(outer, first_column, columns) for blocks of columns of a source of [outer, count, inner].
template <typename Body>
void for_each_column_block(int64_t outer, int64_t count, int64_t inner, Body&& body) {
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t grain = rows_per_task(count * std::min(inner, kColumns));
  parallel_for(outer * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t column = task % blocks * kColumns;
      body(task / blocks, column, std::min(kColumns, inner - column));
    }
  });
}

// Where element `number`, in row-major order, of axes [first, last) of `shape` lies by `strides`.
int64_t offset_of(int64_t number, const Shape& shape, const Shape& strides, int first, int last) {
  int64_t offset = 0;
  for (int axis = last - 1; axis >= first; --axis) {
    offset += number % shape[axis] * strides[axis];
    number /= shape[axis];
  }
  return offset;
}

int64_t product(const Shape& shape, int first, int last) {
  int64_t result = 1;
  for (int axis = first; axis < last; ++axis) result *= shape[axis];
  return result;
}

// Integers wrap, as in binary().
template <typename T>
T plus(T x, T y) {
  if constexpr (std::is_same_v<T, int32_t>) {
    return static_cast<int32_t>(static_cast<uint32_t>(x) + static_cast<uint32_t>(y));
  } else {
    return x + y;
  }
}

template <typename T>
void add_row(T* sum, const T* term, int64_t count) {
  if constexpr (std::is_same_v<T, int32_t>) {
    for (int64_t j = 0; j < count; ++j) sum[j] = plus(sum[j], term[j]);
  } else {
    row_spans<T>().add(sum, term, count);
  }
}

// Many terms: the target is written row by row, and the terms of a row are fetched from where they lie.
template <typename T>
void add_by_target_row(const int32_t* index, const T* from, int64_t count, int64_t inner, int64_t extent,
                       T* to) {
  const PositionsByIndex positions(index, count, extent);
  const int64_t rows = rows_per_task(inner * (1 + count / extent)), tasks = (extent + rows - 1) / rows;
  parallel_for_uneven(tasks, true, [&](int64_t task) {
    for (int64_t row = task * rows; row < std::min(extent, (task + 1) * rows); ++row) {
      for (const int32_t& position : positions.of(row)) {
        prefetch_row(from + (&position)[PositionsByIndex::kAhead] * inner, inner);
        add_row(to + row * inner, from + position * inner, inner);
      }
    }
  });
}

template <typename T>
void index_add_typed(const Tensor& indices, const Tensor& source, const Tensor& target) {
  const int64_t count = source.size(1), inner = source.size(2), extent = target.size(1);
  const int32_t* index = indices.data<int32_t>();
  const T* from = source.data<T>();
  T* to = target.data<T>();
  constexpr int64_t kFewRows = 64;
  const bool many_terms = count * inner > kElementGrain && extent <= 32 * count;
  if (source.size(0) == 1 && extent > kFewRows && many_terms && count < std::numeric_limits<int32_t>::max()) {
    return add_by_target_row(index, from, count, inner, extent, to);
  }
  for_each_column_block(source.size(0), count, inner, [&](int64_t outer, int64_t column, int64_t columns) {
    for (int64_t i = 0; i < count; ++i) {
      const T* term = from + (outer * count + i) * inner + column;
      T* sum = to + (outer * extent + index[i]) * inner + column;
      for (int64_t j = 0; j < columns; ++j) sum[j] = plus(sum[j], term[j]);
    }
  });
}

// Calls write(at, value) for the elements of `source`, for each position of the target in row-major order.
template <typename T, typename Write>
void scatter_typed(int axis, const Tensor& index, const Tensor& source, const Tensor& target, Write write) {
  const Shape& shape = index.shape();
  const int rank = shape.rank();
  const int64_t count = shape[axis], inner = product(shape, axis + 1, rank), step = target.stride(axis);
  const int32_t* number = index.data<int32_t>();
  const T* from = source.data<T>();
  T* to = target.data<T>();
  const int64_t outer_count = product(shape, 0, axis);
  for_each_column_block(outer_count, count, inner, [&](int64_t outer, int64_t column, int64_t columns) {
    // The index may be narrower than the target, so its columns need not lie side by side there.
    int64_t offsets[kColumns];
    const int64_t base = offset_of(outer, shape, target.strides(), 0, axis);
    for (int64_t j = 0; j < columns; ++j) {
      offsets[j] = base + offset_of(column + j, shape, target.strides(), axis + 1, rank);
    }
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = (outer * count + i) * inner + column;
      for (int64_t j = 0; j < columns; ++j) write(to[offsets[j] + number[row + j] * step], from[row + j]);
    }
  });
}

}  // namespace

void call::IndexSelect::run(Cpu) const {
  const int64_t extent = x.size(1), inner = x.size(2), count = indices.elements();
  const int32_t* index = indices.data<int32_t>();
  check_indices(operation, indices, extent);
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    parallel_for(x.size(0) * count, rows_per_task(inner), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        std::copy_n(from + (row / count * extent + index[row % count]) * inner, inner, to + row * inner);
      }
    });
  });
}

void call::IndexAdd::run(Cpu) const {
  if (target.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  check_indices(operation, indices, target.size(1));
  if (target.dtype() == Dtype::int32) return index_add_typed<int32_t>(indices, source, target);
  dispatch_real(target.dtype(), [&](auto tag) { index_add_typed<decltype(tag)>(indices, source, target); });
}

void call::Gather::run(Cpu) const {
  check_indices(name(), index, x.size(axis));
  const Shape& shape = index.shape();
  const int last_axis = shape.rank() - 1;
  // Along `axis` the index says where an element lies, elsewhere its own position does.
  Shape strides = x.strides();
  strides[axis] = 0;
  const int64_t columns = shape.back(), column_step = strides.back(), step = x.stride(axis);
  const int32_t* number = index.data<int32_t>();
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    parallel_for(index.elements(), kElementGrain, [&](int64_t first, int64_t last) {
      for (int64_t at = first; at < last;) {
        const int64_t column = at % columns, end = std::min(last, at - column + columns);
        const T* row = from + offset_of(at / columns, shape, strides, 0, last_axis) + column * column_step;
        for (int64_t i = 0; at < end; ++i, ++at) to[at] = row[i * column_step + number[at] * step];
      }
    });
  });
}

void call::Scatter::run(Cpu) const {
  check_indices(name(), index, target.size(axis));
  if (adds && target.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  if (adds) {
    dispatch_real(target.dtype(), [&](auto tag) {
      using T = decltype(tag);
      scatter_typed<T>(axis, index, source, target, [](T& at, T value) { at += value; });
    });
  } else {
    dispatch(target.dtype(), [&](auto tag) {
      using T = decltype(tag);
      scatter_typed<T>(axis, index, source, target, [](T& at, T value) { at = value; });
    });
  }
}

}  // namespace haze

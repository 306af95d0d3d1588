#include "haze/engine/cpu/cpu_backend.h"
#include "haze/engine/cpu/grain.h"

// Copies and sums by index. The sums are cut between columns, never between indices: whoever owns a column
// adds its terms in the order of the indices, so the bits do not depend on the number of threads, and no two
// threads write to one element.
namespace haze {
namespace {

constexpr int64_t kColumns = 32;

// Calls body(outer, first_column, columns) for blocks of columns of a source of [outer, count, inner].
template <typename Body>
void for_each_column_block(int64_t outer, int64_t count, int64_t inner, Body&& body) {
  const int64_t blocks = (inner + kColumns - 1) / kColumns;
  const int64_t grain = rows_per_piece(count * std::min(inner, kColumns));
  parallel_for(outer * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t piece = first; piece < last; ++piece) {
      const int64_t column = piece % blocks * kColumns;
      body(piece / blocks, column, std::min(kColumns, inner - column));
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

template <typename T>
void index_add_typed(const Tensor& indices, const Tensor& source, const Tensor& target) {
  const int64_t count = source.size(1), inner = source.size(2), extent = target.size(1);
  const int32_t* index = indices.data<int32_t>();
  const T* from = source.data<T>();
  T* to = target.data<T>();
  for_each_column_block(source.size(0), count, inner, [&](int64_t outer, int64_t column, int64_t columns) {
    for (int64_t i = 0; i < count; ++i) {
      const T* term = from + (outer * count + i) * inner + column;
      T* sum = to + (outer * extent + index[i]) * inner + column;
      for (int64_t j = 0; j < columns; ++j) sum[j] += term[j];
    }
  });
}

template <typename T>
void scatter_add_typed(int axis, const Tensor& index, const Tensor& source, const Tensor& target) {
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
      for (int64_t j = 0; j < columns; ++j) to[offsets[j] + number[row + j] * step] += from[row + j];
    }
  });
}

}  // namespace

void CpuBackend::index_select(const Tensor& x, const Tensor& indices, const Tensor& out) {
  const int64_t extent = x.size(1), inner = x.size(2), count = indices.elements();
  const int32_t* index = indices.data<int32_t>();
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    parallel_for(x.size(0) * count, rows_per_piece(inner), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) {
        std::copy_n(from + (row / count * extent + index[row % count]) * inner, inner, to + row * inner);
      }
    });
  });
}

void CpuBackend::index_add(const Tensor& indices, const Tensor& source, const Tensor& target) {
  if (target.dtype() == Dtype::int32) return index_add_typed<int32_t>(indices, source, target);
  dispatch_real(target.dtype(), [&](auto tag) { index_add_typed<decltype(tag)>(indices, source, target); });
}

void CpuBackend::gather(const Tensor& x, int axis, const Tensor& index, const Tensor& out) {
  const Shape& shape = index.shape();
  const int last_axis = shape.rank() - 1;
  // Along `axis` the index says where an element lies, elsewhere its own place does.
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

void CpuBackend::scatter_add(int axis, const Tensor& index, const Tensor& source, const Tensor& target) {
  dispatch_real(target.dtype(),
                [&](auto tag) { scatter_add_typed<decltype(tag)>(axis, index, source, target); });
}

}  // namespace haze

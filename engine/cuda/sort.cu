#include "haze/engine/cuda/gpu.h"
#include "haze/engine/ops/sort.h"

// A block sorts a run of up to kRun elements of a row in shared memory, by a bitonic network. Then pairs of
// runs are merged until a row is one run: each thread finds the position of one element among those of its
// pair. Where only the first k are asked for, runs are cut to k elements.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kRun = 1024;

template <typename W>
struct Item {
  W value;
  int32_t index;
};

// A total order: equal elements stand by index, which is what makes the network's result stable, and a NaN
// comes after every number.
template <typename W>
__device__ bool comes_before(const Item<W>& a, const Item<W>& b, bool descending) {
  if (a.value < b.value) return !descending;
  if (b.value < a.value) return descending;
  const bool a_is_nan = a.value != a.value, b_is_nan = b.value != b.value;
  return a_is_nan == b_is_nan ? a.index < b.index : b_is_nan;
}

// The rows of a step: each has `length` elements in runs of `run`, of which the last may be shorter.
struct Runs {
  int64_t length, run;

  HAZE_HOST_DEVICE int64_t count() const { return (length + run - 1) / run; }
  // What remains where `joined` runs become one, of which the first k elements are kept.
  Runs merged(int64_t joined, int64_t k) const {
    const int64_t wide = joined * run, kept = wide < k ? wide : k, rest = length % wide;
    return {length / wide * kept + (rest < kept ? rest : kept), kept};
  }
};

// Bitonic sort (Batcher 1968, "Sorting networks and their applications") of a power of two of elements, twice
// as many as the block has threads. Those beyond the row's end come last.
template <typename T>
__global__ void __launch_bounds__(kRun / 2)
    sort_runs(const T* x, bool descending, T* values, int32_t* indices, Runs from, Runs to) {
  using W = Wide<T>;
  SHARED(Item<W>, items, [kRun]);
  const int64_t row = blockIdx.x / from.count(), run = blockIdx.x % from.count(), first = run * from.run;
  const unsigned size = 2 * blockDim.x;
  for (unsigned i = threadIdx.x; i < size; i += blockDim.x) {
    const int64_t column = first + i;
    const bool is_inside = column < from.length;
    items[i] = {is_inside ? W(x[row * from.length + column]) : W(0), static_cast<int32_t>(column)};
  }
  const auto is_before = [&](const Item<W>& a, const Item<W>& b) {
    const bool both_inside = a.index < from.length && b.index < from.length;
    return both_inside ? comes_before(a, b, descending) : a.index < b.index;
  };
  for (unsigned width = 2; width <= size; width *= 2) {
    for (unsigned distance = width / 2; distance > 0; distance /= 2) {
      __syncthreads();
      const unsigned i = 2 * threadIdx.x - threadIdx.x % distance, j = i + distance;
      const bool rises = (i & width) == 0;
      if (is_before(items[j], items[i]) == rises) {
        const Item<W> other = items[i];
        items[i] = items[j];
        items[j] = other;
      }
    }
  }
  __syncthreads();
  for (unsigned i = threadIdx.x; i < to.run; i += blockDim.x) {
    const int64_t at = run * to.run + i;
    if (at >= to.length) continue;
    values[row * to.length + at] = T(items[i].value);
    indices[row * to.length + at] = items[i].index;
  }
}

// An element's position in the merged run is its own in its run plus the number of those before it in the
// other.
template <typename T>
__global__ void merge_runs(const T* values, const int32_t* indices, bool descending, T* merged_values,
                           int32_t* merged_indices, Runs from, Runs to, int64_t count) {
  using W = Wide<T>;
  const int64_t number = thread_number();
  if (number >= count) return;
  const auto item = [&](int64_t at) { return Item<W>{W(values[at]), indices[at]}; };
  const int64_t row = number / from.length, column = number % from.length, run = column / from.run;
  const Item<W> own = item(number);
  const int64_t row_start = row * from.length, other = run % 2 == 0 ? run + 1 : run - 1;
  const auto within_row = [&](int64_t at) { return row_start + (at < from.length ? at : from.length); };
  const int64_t start = within_row(other * from.run);
  int64_t first = start, last = within_row((other + 1) * from.run);
  while (first < last) {
    const int64_t middle = first + (last - first) / 2;
    if (comes_before(item(middle), own, descending)) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  const int64_t position = column % from.run + first - start;
  if (position >= to.run) return;
  const int64_t at = row * to.length + run / 2 * to.run + position;
  merged_values[at] = values[number];
  merged_indices[at] = own.index;
}

// The first k elements of each row in order, k being the columns of `values`.
template <typename T>
void order_rows(const char* name, const Tensor& x, bool descending, const Tensor& values,
                const Tensor& indices) {
  const int64_t rows = x.size(0), columns = x.size(1), k = values.size(1);
  unsigned size = 2;
  while (size < kRun && size < columns) size *= 2;
  const Runs all{columns, size};
  Runs runs = all.merged(1, k);
  const auto buffer = [&](const Runs& of, const Tensor& result) {
    return of.count() == 1 ? result : Tensor({rows, of.length}, result.dtype(), result.device());
  };
  Tensor sorted = buffer(runs, values), order = buffer(runs, indices);
  launch_kernel(name, sort_runs<T>, {{static_cast<unsigned>(rows * all.count())}, {size / 2}},
                elements_of<const T>(x), descending, elements_of<T>(sorted), elements_of<int32_t>(order), all,
                runs);
  while (runs.count() > 1) {
    const Runs next = runs.merged(2, k);
    const Tensor merged = buffer(next, values), merged_order = buffer(next, indices);
    const int64_t count = rows * runs.length;
    launch_kernel(name, merge_runs<T>, threads_for(count), elements_of<const T>(sorted),
                  elements_of<const int32_t>(order), descending, elements_of<T>(merged),
                  elements_of<int32_t>(merged_order), runs, next, count);
    sorted = merged;
    order = merged_order;
    runs = next;
  }
}

template <typename Call>
void run_order(const Call& call, bool descending) {
  if (call.values.elements() == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      order_rows<T>(call.name(), call.x, descending, call.values, call.indices);
    }
  });
}

}  // namespace

template <>
void run_kernels(const call::Sort& call) {
  run_order(call, call.descending);
}

template <>
void run_kernels(const call::TopK& call) {
  run_order(call, true);
}

}  // namespace haze::HAZE_KERNELS

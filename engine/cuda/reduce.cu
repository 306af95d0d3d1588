#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/sum.h"
#include "haze/engine/cuda/rows.h"
#include "haze/engine/ops/reduce.h"

// x [outer, count, inner] -> out [outer, inner], in float64 and in an order that depends on the shape
// and on whether x begins at a multiple of 16 bytes.
// Where inner is 1, a warp or a block has a row, and reads it in vectors. Otherwise neighbouring lanes have
// neighbouring columns, and eight warps share the rows. Where one number of the result has many elements,
// several blocks have a chunk of them each, and another launch combines what they found.
namespace haze::HAZE_KERNELS {
namespace {

struct WrappingSum {
  __device__ int32_t operator()(int32_t a, int32_t b) const {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
};

/// What elements of T are reduced in.
template <typename T>
using Total = std::conditional_t<std::is_integral_v<T>, int32_t, double>;

/// What `op` gives, by way of over_all(start, combine, term): term(v) of all elements v, combined. A mean is
/// divided by `count`.
template <typename OverAll>
__device__ double reduced(ReduceOp op, double count, double correction, const OverAll& over_all) {
  const auto itself = [](double v) { return v; };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (op) {
    case ReduceOp::sum:
      return over_all(0.0, Plus(), itself);
    case ReduceOp::mean:
      return over_all(0.0, Plus(), itself) / count;
    case ReduceOp::max:
      return over_all(-kInfinity, Larger(), itself);
    case ReduceOp::min:
      return over_all(kInfinity, Smaller(), itself);
    case ReduceOp::logsumexp: {
      const double max = over_all(-kInfinity, Larger(), itself);
      // Other columns of the block may have a finite maximum: all threads take part.
      const double sum = over_all(0.0, Plus(), [&](double v) { return std::exp(v - max); });
      return std::isfinite(max) ? max + std::log(sum) : max;
    }
    case ReduceOp::variance: {
      const double mean = over_all(0.0, Plus(), itself) / count;
      return over_all(0.0, Plus(), [&](double v) { return (v - mean) * (v - mean); }) / (count - correction);
    }
    case ReduceOp::kCount:
      break;
  }
  return 0;
}

/// The same of integers, without rounding.
template <typename OverAll>
__device__ int32_t reduced_integers(ReduceOp op, const OverAll& over_all) {
  const auto itself = [](int32_t v) { return v; };
  return op == ReduceOp::max   ? over_all(INT32_MIN, Larger(), itself)
         : op == ReduceOp::min ? over_all(INT32_MAX, Smaller(), itself)
                               : over_all(0, WrappingSum(), itself);
}

template <typename T, typename OverAll>
__device__ Total<T> reduced_of(ReduceOp op, double count, double correction, const OverAll& over_all) {
  if constexpr (std::is_integral_v<T>) {
    return reduced_integers(op, over_all);
  } else {
    return reduced(op, count, correction, over_all);
  }
}

template <typename T, typename Out, typename Plan>
__global__ void __launch_bounds__(kRowBlock, kRowBlocksAtOnce)
    reduce_rows(ReduceOp op, const T* x, double correction, Out* out, int64_t rows, int64_t columns) {
  const int64_t row = own_row<Plan::kThreads>();
  if (row >= rows) return;  // a whole warp, or nobody
  const HeldRow<T, Plan> from(x + row * columns, columns);
  const auto over_all = [&](Total<T> value, auto combine, auto term) {
    from.each([&](int64_t, const Vector<T, Plan::kWidth>& v) {
      for (int k = 0; k < Plan::kWidth; ++k) value = combine(value, term(static_cast<Total<T>>(v.of[k])));
    });
    return over_row<Plan::kThreads>(value, combine);
  };
  const Total<T> result = reduced_of<T>(op, static_cast<double>(columns), correction, over_all);
  if (thread_of_row<Plan::kThreads>() == 0) out[row] = static_cast<Out>(result);
}

constexpr unsigned kColumnRows = 8;    // warps of a block, which take every eighth row
constexpr int64_t kColumnChunk = 256;  // rows of a block where there are several for a column

/// x [outer, count, inner] in chunks of `chunk` rows -> out [outer, chunks, inner]. `divisor` of a mean.
template <typename T, typename Out>
__global__ void __launch_bounds__(kWarp* kColumnRows)
    reduce_columns(ReduceOp op, const T* x, double correction, double divisor, Out* out, int64_t count,
                   int64_t inner, int64_t chunk) {
  SHARED(Total<T>, of_warps, [kColumnRows][kWarp]);
  const int64_t tiles = (inner + kWarp - 1) / kWarp, chunks = (count + chunk - 1) / chunk;
  const int64_t part = blockIdx.x / tiles, first = part % chunks * chunk;  // part: of outer x chunks
  const int64_t column = blockIdx.x % tiles * kWarp + threadIdx.x;
  const int64_t rows = column >= inner ? 0 : count - first < chunk ? count - first : chunk;
  x += (part / chunks * count + first) * inner + column;
  const auto over_all = [&](Total<T> value, auto combine, auto term) {
    for (int64_t row = threadIdx.y; row < rows; row += kColumnRows) {
      value = combine(value, term(static_cast<Total<T>>(x[row * inner])));
    }
    of_warps[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    value = of_warps[0][threadIdx.x];
    for (unsigned warp = 1; warp < kColumnRows; ++warp) value = combine(value, of_warps[warp][threadIdx.x]);
    __syncthreads();
    return value;
  };
  const Total<T> result = reduced_of<T>(op, divisor, correction, over_all);
  if (threadIdx.y == 0 && column < inner) out[part * inner + column] = static_cast<Out>(result);
}

template <typename T, typename Out>
void launch_columns(const char* name, ReduceOp op, const T* x, double correction, double divisor, Out* out,
                    const Shape& shape, int64_t chunk) {
  const int64_t tiles = (shape[2] + kWarp - 1) / kWarp, chunks = (shape[1] + chunk - 1) / chunk;
  launch_kernel(name, reduce_columns<T, Out>,
                {{static_cast<unsigned>(shape[0] * chunks * tiles)}, {kWarp, kColumnRows}}, op, x, correction,
                divisor, out, shape[1], shape[2], chunk);
}

/// Whether the elements of one number may be reduced in parts.
bool has_parts(ReduceOp op) {
  return op != ReduceOp::logsumexp && op != ReduceOp::variance;
}

template <typename T, typename Out>
void reduce_over_columns(const char* name, ReduceOp op, const Tensor& x, double correction, Out* out) {
  const int64_t count = x.size(1), chunks = (count + kColumnChunk - 1) / kColumnChunk;
  const auto divisor = static_cast<double>(count);
  const auto* const from = elements_of<const T>(x);
  if constexpr (!std::is_integral_v<T>) {
    if (has_parts(op) && chunks > 2) {
      const ReduceOp of_part = op == ReduceOp::mean ? ReduceOp::sum : op;
      const Tensor parts({x.size(0), chunks, x.size(2)}, Dtype::float64, x.device());
      launch_columns(name, of_part, from, 0, 1, elements_of<double>(parts), x.shape(), kColumnChunk);
      return launch_columns(name, op, elements_of<const double>(parts), 0, divisor, out, parts.shape(),
                            chunks);
    }
  }
  launch_columns(name, op, from, correction, divisor, out, x.shape(), count);
}

template <typename T>
void reduce_long_rows(const char* name, ReduceOp op, const Tensor& x, T* out) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto launch_with = [&](double start, auto combine, double divisor) {
    const int64_t rows = x.size(0), columns = x.size(1);
    launch_by_chunks(name, elements_of<const T>(x), start, combine, divisor, out, rows, columns,
                     is_aligned(x) && (rows == 1 || columns % kWidest<T> == 0), x.device());
  };
  if (op == ReduceOp::max) return launch_with(-kInfinity, Larger(), 1);
  if (op == ReduceOp::min) return launch_with(kInfinity, Smaller(), 1);
  launch_with(0, Plus(), op == ReduceOp::mean ? static_cast<double>(x.size(1)) : 1);
}

template <typename T, typename Out>
void run_reduce(const char* name, ReduceOp op, const Tensor& x, double correction, Out* out) {
  if (x.size(2) > 1) return reduce_over_columns<T>(name, op, x, correction, out);
  const int64_t rows = x.size(0), columns = x.size(1);
  if constexpr (!std::is_integral_v<T>) {
    if (has_parts(op) && columns > 2 * kSumChunk) return reduce_long_rows(name, op, x, out);
  }
  with_row_plan<T>(columns, is_aligned(x), [&](auto plan) {
    using Plan = decltype(plan);
    launch_kernel(name, reduce_rows<T, Out, Plan>, Plan::launch(rows), op, elements_of<const T>(x),
                  correction, out, rows, columns);
  });
}

}  // namespace

template <>
void run_kernels(const call::Reduce& call) {
  if (call.out.elements() == 0) return;
  dispatch_floating(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    run_reduce<T>(call.name(), call.op, call.x, call.correction, elements_of<T>(call.out));
  });
}

template <>
void run_kernels(const call::ReduceIntegers& call) {
  if (call.out.elements() == 0) return;
  auto* const out = elements_of<int32_t>(call.out);
  call.x.dtype() == Dtype::uint8 ? run_reduce<uint8_t>(call.name(), call.op, call.x, 0, out)
                                 : run_reduce<int32_t>(call.name(), call.op, call.x, 0, out);
}

}  // namespace haze::HAZE_KERNELS

#include <algorithm>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/matmul.h"
#include "haze/engine/cuda/ladder/matmul_tensor_cores.h"
#include "haze/engine/cuda/matmul_cublas.h"
#include "haze/engine/cuda/matmul_epilogue.h"
#include "haze/engine/cuda/product.h"
#include "haze/engine/cuda/split_k.h"
#include "haze/engine/ops/matmul.h"

// float32 is multiplied by the rung "asynchronous copies" of the ladder, bfloat16 by "tensor cores", float64
// by tiles of an element a thread. Where the tiles of the result are too few to keep a GPU busy, K is split
// into parts, whose sums another kernel adds up in their order. The epilogue follows while the sum is at
// hand.
namespace haze::HAZE_KERNELS {
namespace {

/// Blocks are numbered by columns, then rows, then entries of the batch, which are a_step and b_step apart.
template <typename S>
__global__ void __launch_bounds__(kTile* kTile)
    multiply(Matrix<S> a, int64_t a_step, Matrix<S> b, int64_t b_step, Epilogue<Wide<S>> finish) {
  const int64_t across = (b.columns + kTile - 1) / kTile, down = (a.rows + kTile - 1) / kTile;
  const int64_t entry = blockIdx.x / (across * down);
  const int64_t first_row = blockIdx.x / across % down * kTile, first_column = blockIdx.x % across * kTile;
  a.elements += entry * a_step;
  b.elements += entry * b_step;
  const Wide<S> sum = tile_product(a, b, first_row, first_column);
  const int64_t row = first_row + threadIdx.y, column = first_column + threadIdx.x;
  if (row >= a.rows || column >= b.columns) return;
  const int64_t number = (entry * a.rows + row) * b.columns + column;
  finish.out[number] = finish.of(sum, number, column);
}

/// A block adds up kTile rows, each by kTile threads that take every kTile-th element.
template <typename S>
__global__ void __launch_bounds__(kTile* kTile) row_sums(Matrix<S> a, Wide<S>* sums) {
  using W = Wide<S>;
  SHARED(W, parts, [kTile][kTile + 1]);
  const TileElement at(a);
  const int64_t row = int64_t{blockIdx.x} * kTile + at.row;
  W sum = 0;
  for (int64_t k = at.column; row < a.rows && k < a.columns; k += kTile) sum += a(row, k);
  parts[at.row][at.column] = sum;
  __syncthreads();
  if (row >= a.rows || at.column != 0) return;
  for (unsigned i = 1; i < kTile; ++i) sum += parts[at.row][i];
  sums[row] = sum;
}

/// The epilogue of an element of a result with so many columns.
struct FinishElement {
  Epilogue<float> epilogue;
  int64_t columns;

  __device__ void operator()(int64_t number, float sum) const {
    epilogue.out[number] = epilogue.of(sum, number, number % columns);
  }
};

/// An operand, rounded to bfloat16 and laid out anew: `packed` has rows of `columns` numbers, `pitch` apart.
template <typename S>
__global__ void pack(const S* elements, int64_t step, int64_t row_stride, int64_t column_stride, int64_t rows,
                     int64_t columns, int64_t pitch, bfloat16* packed, int64_t count) {
  const int64_t number = thread_number();
  if (number >= count) return;
  const int64_t column = number % columns, row = number / columns % rows, entry = number / columns / rows;
  packed[(entry * rows + row) * pitch + column] =
      converted<bfloat16>(elements[entry * step + row * row_stride + column * column_stride]);
}

// a, or b transposed: the axis of K is the last one.
template <typename S>
Operand<S> operand_of(const Tensor& x, int extent_axis, int k_axis) {
  const int64_t extent = x.size(extent_axis), k = x.size(k_axis);
  const auto stride = [&](int axis) { return x.size(axis) == 1 ? 0 : x.stride(axis); };
  Operand<S> result{elements_of<const S>(x), extent, stride(extent_axis), stride(k_axis), stride(0), false};
  if (k == 1 && result.stride != 1) result.k_stride = 1;
  if (extent == 1 && result.k_stride != 1) result.stride = 1;
  const bool along_k = result.k_stride == 1;
  const auto whole = [](int64_t s) { return s * static_cast<int64_t>(sizeof(S)) % 16 == 0; };
  result.vectors = (along_k || result.stride == 1) && whole(along_k ? result.stride : result.k_stride) &&
                   whole(result.step) && is_aligned(x);
  return result;
}

/// An operand of the tensor cores, and the memory of its copy where it needed one.
struct PackedOperand {
  Operand<bfloat16> operand;
  Tensor memory;
};

template <typename S>
PackedOperand packed_operand(const Tensor& x, int extent_axis, int k_axis) {
  const Operand<S> from = operand_of<S>(x, extent_axis, k_axis);
  if constexpr (std::is_same_v<S, bfloat16>) {
    if (from.vectors) return {from, {}};
  }
  const bool along_k = from.k_stride == 1 || from.stride != 1;
  const int64_t k = x.size(k_axis), rows = along_k ? from.extent : k, columns = along_k ? k : from.extent;
  const int64_t pitch = (columns + 7) / 8 * 8, batch = from.step == 0 ? 1 : x.size(0);
  const Tensor memory({batch * rows * pitch}, Dtype::bfloat16, x.device());
  const int64_t count = batch * rows * columns;
  if (count > 0) {
    launch_kernel("pack", pack<S>, threads_for(count), from.elements, from.step,
                  along_k ? from.stride : from.k_stride, along_k ? from.k_stride : from.stride, rows, columns,
                  pitch, elements_of<bfloat16>(memory), count);
  }
  const Operand<bfloat16> operand{.elements = elements_of<const bfloat16>(memory),
                                  .extent = from.extent,
                                  .stride = along_k ? pitch : 1,
                                  .k_stride = along_k ? 1 : pitch,
                                  .step = from.step == 0 ? 0 : rows * pitch,
                                  .vectors = true};
  return {operand, memory};
}

// Runs `kernel` with its blocks for the whole of K, or for parts of it.
template <typename Tile, typename S>
void run_tiles(const call::Matmul& call, const ProductShape& shape, const Operand<S>& a, const Operand<S>& b,
               const Epilogue<float>& finish,
               void (*kernel)(Operand<S>, Operand<S>, ProductShape, Epilogue<float>)) {
  run_split<Tile>(
      call.out, shape,
      [&](const simt::LaunchShape& launch, const ProductShape& parts, float* sums) {
        launch_kernel(call.name(), kernel, launch, a, b, parts, sums ? Epilogue<float>{sums} : finish);
      },
      FinishElement{finish, shape.n});
}

// Calls f(whether a's tiles lie along K, whether b's do) with both as types.
template <typename S, typename F>
void with_layouts(const Operand<S>& a, const Operand<S>& b, F f) {
  const auto with_b = [&](auto a_along_k) {
    b.stride == 1 && b.k_stride != 1 ? f(a_along_k, std::false_type()) : f(a_along_k, std::true_type());
  };
  a.stride == 1 && a.k_stride != 1 ? with_b(std::false_type()) : with_b(std::true_type());
}

void multiply_float32(const call::Matmul& call, const ProductShape& shape, const Epilogue<float>& finish) {
  const auto a = operand_of<float>(call.a, 1, 2), b = operand_of<float>(call.b, 2, 1);
  with_layouts(a, b, [&](auto a_along_k, auto b_along_k) {
    const auto run = [&](auto tile) {
      using Tile = decltype(tile);
      run_tiles<Tile>(call, shape, a, b, finish,
                      matmul_async_copies<Tile, a_along_k.value, b_along_k.value, Epilogue<float>>);
    };
    fits<LargeRegisterTile>(shape) ? run(LargeRegisterTile()) : run(SmallRegisterTile());
  });
}

template <typename S>
void multiply_bfloat16(const call::Matmul& call, const ProductShape& shape, const Epilogue<float>& finish) {
  const PackedOperand a = packed_operand<S>(call.a, 1, 2), b = packed_operand<S>(call.b, 2, 1);
  using Large = LargeTensorTile<bfloat16>;
  with_layouts(a.operand, b.operand, [&](auto a_along_k, auto b_along_k) {
    const auto run = [&](auto tile) {
      using Tile = decltype(tile);
      run_tiles<Tile>(call, shape, a.operand, b.operand, finish,
                      matmul_tensor_cores<bfloat16, Tile, a_along_k.value, b_along_k.value, Epilogue<float>>);
    };
    fits<Large>(shape) ? run(Large()) : run(SmallTensorTile<bfloat16>());
  });
}

unsigned tiles(int64_t extent) {
  return static_cast<unsigned>((extent + kTile - 1) / kTile);
}

template <typename S>
Matrix<S> matrix_of(const Tensor& x) {
  return {elements_of<const S>(x), x.size(1), x.size(2), x.stride(1), x.stride(2)};
}

void multiply_float64(const call::Matmul& call, const ProductShape& shape, const Epilogue<double>& finish) {
  const auto blocks = static_cast<unsigned>(shape.batch) * tiles(shape.m) * tiles(shape.n);
  launch_kernel(call.name(), multiply<double>, {{blocks}, {kTile, kTile}}, matrix_of<double>(call.a),
                call.a.stride(0), matrix_of<double>(call.b), call.b.stride(0), finish);
}

}  // namespace

template <>
void run_kernels(const call::Matmul& call) {
  const ProductShape shape{call.a.size(1), call.b.size(2), call.a.size(2), call.out.size(0)};
  dispatch_floating(call.a.dtype(), [&](auto tag) {
    using S = decltype(tag);
    using W = Wide<S>;
    const MatmulOptions& options = call.options;
    if (options.row_sums.defined() && shape.m > 0)
      launch_kernel("row_sums", row_sums<S>, {{tiles(shape.m)}, {kTile, kTile}}, matrix_of<S>(call.a),
                    elements_of<W>(options.row_sums));
    if (call.out.elements() == 0) return;
    const Epilogue<W> finish{.out = elements_of<W>(call.out),
                             .accumulate = call.accumulate,
                             .activation = options.activation,
                             .bias = elements_of<const W>(options.bias),
                             .residual = elements_of<const W>(options.residual),
                             .slope_at = elements_of<const W>(options.slope_at),
                             .pre_activation = elements_of<W>(options.pre_activation)};
    if (multiply_by_cublas(call, shape, operand_of<S>(call.a, 1, 2), operand_of<S>(call.b, 2, 1), finish))
      return;
    if constexpr (std::is_same_v<S, double>) {
      multiply_float64(call, shape, finish);
    } else if (call.multiplies_bfloat16()) {
      multiply_bfloat16<S>(call, shape, finish);
    } else if constexpr (std::is_same_v<S, float>) {
      multiply_float32(call, shape, finish);
    }
  });
}

}  // namespace haze::HAZE_KERNELS

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/math.h"
#include "haze/engine/cuda/product.h"
#include "haze/engine/ops/matmul.h"

// A block computes a tile of the result, and a thread of it one element. Both operands go through shared
// memory tile by tile, so that what a block reads once serves a whole row or column of its threads. The
// epilogue follows while the element is in a register.
namespace haze::HAZE_KERNELS {
namespace {

/// What follows the sum, at the element that has `number` in a batch of results [rows, columns].
template <typename W>
struct Epilogue {
  W* out;
  bool accumulate;
  Activation activation;
  const W *bias, *residual, *slope_at;  // these and the next may be null
  W* pre_activation;

  __device__ void operator()(W value, int64_t number, int64_t column) const;
};

template <typename W>
__device__ W activated(Activation activation, W x) {
  switch (activation) {
    case Activation::relu:
      return apply(UnaryOp::relu, x, W(0), W(0));
    case Activation::gelu:
      return apply(UnaryOp::gelu, x, W(0), W(0));
    case Activation::gelu_tanh:
      return apply(UnaryOp::gelu_tanh, x, W(0), W(0));
    case Activation::silu:
      return apply(UnaryOp::silu, x, W(0), W(0));
    default:
      return x;
  }
}

/// The activation's derivative at x, times g.
template <typename W>
__device__ W times_slope(Activation activation, W x, W g) {
  switch (activation) {
    case Activation::relu:
      return g * (x > 0 ? W(1) : W(0));
    case Activation::gelu:
      return apply(BinaryOp::gelu_gradient, x, g);
    case Activation::gelu_tanh:
      return apply(BinaryOp::gelu_tanh_gradient, x, g);
    case Activation::silu:
      return apply(BinaryOp::silu_gradient, x, g);
    default:
      return g;
  }
}

template <typename W>
__device__ void Epilogue<W>::operator()(W value, int64_t number, int64_t column) const {
  if (accumulate) value += out[number];
  if (slope_at) {
    out[number] = times_slope(activation, slope_at[number], value);
    return;
  }
  if (bias) value += bias[column];
  if (pre_activation) pre_activation[number] = value;
  value = activated(activation, value);
  if (residual) value += residual[number];
  out[number] = value;
}

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
  if (row < a.rows && column < b.columns) finish(sum, (entry * a.rows + row) * b.columns + column, column);
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

template <typename S>
Matrix<S> matrix_of(const Tensor& x) {
  return {elements_of<const S>(x), x.size(1), x.size(2), x.stride(1), x.stride(2)};
}

unsigned tiles(int64_t extent) {
  return static_cast<unsigned>((extent + kTile - 1) / kTile);
}

}  // namespace

template <>
void run_kernels(const call::Matmul& call) {
  dispatch(call.a.dtype(), [&](auto tag) {
    using S = decltype(tag);
    using W = Wide<S>;
    if constexpr (!std::is_integral_v<S>) {
      const MatmulOptions& options = call.options;
      Matrix<S> a = matrix_of<S>(call.a), b = matrix_of<S>(call.b);
      const simt::Extent threads{kTile, kTile};
      if (options.row_sums.defined() && a.rows > 0)
        launch_kernel("row_sums", row_sums<S>, {{tiles(a.rows)}, threads}, a,
                      elements_of<W>(options.row_sums));
      if (call.out.elements() == 0) return;
      a.rounded = b.rounded = std::is_same_v<S, float> && options.precision == Precision::bfloat16;
      const Epilogue<W> finish{.out = elements_of<W>(call.out),
                               .accumulate = call.accumulate,
                               .activation = options.activation,
                               .bias = elements_of<const W>(options.bias),
                               .residual = elements_of<const W>(options.residual),
                               .slope_at = elements_of<const W>(options.slope_at),
                               .pre_activation = elements_of<W>(options.pre_activation)};
      const unsigned blocks = static_cast<unsigned>(call.out.size(0)) * tiles(a.rows) * tiles(b.columns);
      launch_kernel(call.name(), multiply<S>, {{blocks}, threads}, a, call.a.stride(0), b, call.b.stride(0),
                    finish);
    }
  });
}

}  // namespace haze::HAZE_KERNELS

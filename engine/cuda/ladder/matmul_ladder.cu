#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/cuda/ladder/matmul.h"
#include "haze/engine/cuda/ladder/matmul_tensor_cores.h"

namespace haze::HAZE_KERNELS {
namespace {

unsigned blocks_for(int64_t extent, unsigned tile) {
  return static_cast<unsigned>((extent + tile - 1) / tile);
}

// A contiguous matrix, whose rows are `columns` long, as an operand.
template <typename S>
Operand<S> operand_of(const Tensor& x, int64_t extent, bool along_k) {
  const int64_t columns = x.size(1);
  return {.elements = elements_of<const S>(x),
          .extent = extent,
          .stride = along_k ? columns : 1,
          .k_stride = along_k ? 1 : columns,
          .step = 0,
          .vectors = columns * static_cast<int64_t>(sizeof(S)) % 16 == 0 &&
                     reinterpret_cast<uintptr_t>(x.address()) % 16 == 0};
}

// The rungs that copy asynchronously read operands in place where their rows are multiples of 16 bytes.
template <typename S, typename Tile>
void launch_tiles(const ladder::Matmul& call, const ProductShape& shape,
                  void (*kernel)(Operand<S>, Operand<S>, ProductShape, PlainStore)) {
  const Operand<S> a = operand_of<S>(call.a, shape.m, true), b = operand_of<S>(call.b, shape.n, false);
  if (sizeof(S) < 4 && !(a.vectors && b.vectors)) {
    fail("{}: rows of {} and {} bfloat16 are no multiples of 16 bytes", call.name(), shape.k, shape.n);
  }
  launch_kernel(call.name(), kernel, product_launch<Tile>(shape), a, b, shape,
                PlainStore{elements_of<float>(call.out)});
}

template <typename S>
void run_rung(const ladder::Matmul& call, const ProductShape& shape) {
  const auto launch = [&](void (*kernel)(const S*, const S*, float*, ProductShape), simt::Extent threads,
                          unsigned rows, unsigned columns) {
    launch_kernel(call.name(), kernel, {{blocks_for(shape.n, columns), blocks_for(shape.m, rows)}, threads},
                  elements_of<const S>(call.a), elements_of<const S>(call.b), elements_of<float>(call.out),
                  shape);
  };
  switch (call.rung) {
    case 0:
      return launch(matmul_naive<S>, kNaiveThreads, kNaiveThreads.y, kNaiveThreads.x);
    case 1:
      return launch(matmul_shared_tiles<S>, {kSharedTile, kSharedTile}, kSharedTile, kSharedTile);
    case 2:
      return launch(matmul_register_tiles<S>, {kRegisterThreads, kRegisterThreads}, kRegisterTile,
                    kRegisterTile);
    default:
      break;
  }
  if constexpr (std::is_same_v<S, float>) {
    if (call.rung == 3) {
      return launch_tiles<S, LargeRegisterTile>(
          call, shape, matmul_async_copies<LargeRegisterTile, true, false, PlainStore>);
    }
  }
  using Tile = LargeTensorTile<S>;
  launch_tiles<S, Tile>(call, shape, matmul_tensor_cores<S, Tile, true, false, PlainStore>);
}

}  // namespace

template <>
void run_kernels(const ladder::Matmul& call) {
  if (!ladder::Matmul::takes(call.rung, call.a.dtype())) {
    fail("{}: there is no kernel for {}", call.name(), name(call.a.dtype()));
  }
  const ProductShape shape{call.a.size(0), call.b.size(1), call.a.size(1)};
  if (call.out.elements() == 0) return;
  if (call.a.dtype() == Dtype::bfloat16) {
    run_rung<bfloat16>(call, shape);
  } else {
    run_rung<float>(call, shape);
  }
}

}  // namespace haze::HAZE_KERNELS

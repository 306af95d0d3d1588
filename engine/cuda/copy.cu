#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/transpose.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/ops/copy.h"

// Matrices that are transposed to each other go through tiles in shared memory, as on the ladder's last rung.
// Elsewhere a thread has neighbouring elements, of which the larger take 16 bytes, or one element.
namespace haze::HAZE_KERNELS {
namespace {

template <int kWidth, typename X, typename Y>
__global__ void copy(const X* x, Y* out, StridedIndex<2> index, int64_t count) {
  const int64_t first = thread_number() * kWidth, left = count - first;
  if (left <= 0) return;
  const Vector<X, kWidth> v = read<kWidth>(x, index, 0, first, left);
  Vector<Y, kWidth> result;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) result.of[k] = converted<Y>(v.of[k]);
  store_up_to(out + index.offset(1, first), result, left);
}

constexpr int64_t kLeastExtent = 8;  // below it, most threads of a tile would have nothing to do

// Source and target are transposed to each other, after at most one axis that both have in front.
bool is_transposed(const StridedIndex<2>& index) {
  const int row = index.rank - 1, column = index.rank - 2;
  return (index.rank == 2 || index.rank == 3) && index.strides[0][column] == 1 &&
         index.strides[1][row] == 1 && index.strides[1][column] == index.shape[row] &&
         index.shape[row] >= kLeastExtent && index.shape[column] >= kLeastExtent &&
         (index.rank == 2 || (index.shape[0] <= simt::kMostBlocks.z &&
                              index.strides[1][0] == index.shape[1] * index.shape[2])) &&
         index.shape[column] <= int64_t{simt::kMostBlocks.x} * kTransposeTile &&
         index.shape[row] <= int64_t{simt::kMostBlocks.y} * kTransposeTile;
}

}  // namespace

template <>
void run_kernels(const call::Copy& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Tensor* const operands[] = {&call.x, &call.out};
  const StridedIndex<2> index(call.out.shape(), operands);
  dispatch(call.x.dtype(), [&](auto x_tag) {
    dispatch(call.out.dtype(), [&](auto out_tag) {
      using X = decltype(x_tag);
      using Y = decltype(out_tag);
      if (is_transposed(index)) {
        const int row = index.rank - 1;
        const TransposeShape shape{index.shape[row], index.shape[row - 1], index.strides[0][row],
                                   row == 2 ? index.strides[0][0] : 0};
        return launch_kernel("copy", transpose_by_tiles<SwizzledTile, X, Y>,
                             transpose_launch(shape, row == 2 ? index.shape[0] : 1),
                             elements_of<const X>(call.x), elements_of<Y>(call.out), shape);
      }
      using Wider = std::conditional_t<(sizeof(X) > sizeof(Y)), X, Y>;
      with_width_for<Wider>(index, operands, call.out, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        launch_kernel("copy", copy<kWidth, X, Y>, threads_for_vectors<kWidth>(count),
                      elements_of<const X>(call.x), elements_of<Y>(call.out), index, count);
      });
    });
  });
}

}  // namespace haze::HAZE_KERNELS

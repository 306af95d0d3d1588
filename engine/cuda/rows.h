#pragma once

#include "haze/engine/cuda/vector.h"
#include "haze/engine/cuda/warp.h"

/// Rows that are taken by a warp each where they are short, and by a block each where they are long. In a
/// block of kRowBlock threads, kThreads have one row, and a thread takes every kThreads-th vector of it.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kRowBlock = 256;

/// The vectors of a row that a thread keeps in its registers. More of them would be spilled to memory.
template <typename T, int kWidth>
inline constexpr int kHeld = sizeof(T) == 8 ? 2
                             : kWidth == 1  ? 8
                                            : 4;

/// The row that the running thread takes part in, and its number among the threads that do.
template <unsigned kThreads>
__device__ int64_t own_row() {
  return int64_t{blockIdx.x} * (kRowBlock / kThreads) + threadIdx.x / kThreads;
}
template <unsigned kThreads>
__device__ unsigned thread_of_row() {
  return threadIdx.x % kThreads;
}

/// The values of all threads of a row, combined; the same in each of them. All threads of a block take part
/// where a row is a block's. Ends with a barrier then, so that it may be called again.
template <unsigned kThreads, typename T, typename F>
__device__ T over_row(T value, F combine) {
  if constexpr (kThreads == kWarp) {
    return over_warp(value, combine);
  } else {
    SHARED(T, scratch, [kThreads / kWarp]);
    return over_block<kThreads>(value, scratch, combine);
  }
}

/// What a kernel for rows is compiled for.
template <unsigned kThreadsOfRow, int kElements>
struct RowPlan {
  static constexpr unsigned kThreads = kThreadsOfRow;
  static constexpr int kWidth = kElements;

  static simt::LaunchShape launch(int64_t rows) {
    constexpr int64_t kRows = kRowBlock / kThreads;
    return {{static_cast<unsigned>((rows + kRows - 1) / kRows)}, {kRowBlock}};
  }
};

/// Calls f with the RowPlan for rows of that many elements. A warp has those that fit into its registers.
/// `aligned` says whether a multiple of 16 bytes is where each tensor begins.
template <typename T, typename F>
void with_row_plan(int64_t columns, bool aligned, F&& f) {
  with_width<T>(aligned && columns % kWidest<T> == 0, [&](auto width) {
    constexpr int kWidth = decltype(width)::value;
    if (columns <= int64_t{kWarp} * kHeld<T, kWidth> * kWidth) {
      f(RowPlan<kWarp, kWidth>());
    } else {
      f(RowPlan<kRowBlock, kWidth>());
    }
  });
}

}  // namespace haze::HAZE_KERNELS

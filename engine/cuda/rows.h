#pragma once

#include "haze/engine/cuda/vector.h"
#include "haze/engine/cuda/warp.h"

/// Rows that are taken by a warp each where they are short, and by a block each where they are long. In a
/// block of kRowBlock threads, kThreads have one row, and a thread takes every kThreads-th vector of it.
namespace haze::HAZE_KERNELS {

inline constexpr unsigned kRowBlock = 256;
/// Blocks that a multiprocessor shall hold, for __launch_bounds__: a thread then has up to 128 registers.
inline constexpr unsigned kRowBlocksAtOnce = 2;

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

/// The elements of a row that the running thread has: every kThreads-th vector. It reads the first of them at
/// once and keeps them in registers; what a longer row has beyond is read whenever it is asked for.
template <typename T, typename Plan>
class HeldRow {
 public:
  using V = Vector<std::remove_const_t<T>, Plan::kWidth>;

  /// The row begins at `row` and has `columns` elements, a multiple of the vector's.
  __device__ HeldRow(const T* row, int64_t columns)
      : from_(vectors<Plan::kWidth>(row)), count_(columns / Plan::kWidth) {
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      if (vector(k) < count_) kept_[k] = load_vector(from_ + vector(k));
    }
  }

  /// Calls f(i, v...) for each of the thread's vectors: v are vectors i of this row and of the others.
  template <typename F, typename... Other>
  __device__ __forceinline__ void each(F&& f, const Other&... others) const {
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      if (vector(k) < count_) f(vector(k), kept_[k], others.kept_[k]...);
    }
#pragma unroll 1
    for (int64_t i = vector(kKept); i < count_; i += Plan::kThreads) {
      f(i, load_vector(from_ + i), load_vector(others.from_ + i)...);
    }
  }

 private:
  static constexpr int kKept = kHeld<T, Plan::kWidth>;
  __device__ static int64_t vector(int k) {
    return thread_of_row<Plan::kThreads>() + k * Plan::kThreads;
  }

  const V* from_;
  int64_t count_;
  V kept_[kKept] = {};
};

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

/// The threads of a row and the elements of a vector, for which a kernel is compiled.
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

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/ladder/index_add.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/strided.h"
#include "haze/engine/cuda/vector.h"
#include "haze/engine/ops/copy.h"
#include "haze/engine/ops/indexing.h"

// Copies have a thread for each element or vector. Where several terms go to one element of the target, one
// thread adds all of them, in the order of the indices: the bits do not depend on which thread comes first.
namespace haze::HAZE_KERNELS {
namespace {

__global__ void check(const int32_t* indices, int64_t extent, int64_t count, Refuse refuse) {
  const int64_t i = thread_number();
  if (i < count) is_inside(indices[i], extent, refuse);
}

// For rows without elements: no thread would read their indices.
void check_indices(const char* operation, const Tensor& indices, int64_t extent) {
  const int64_t count = indices.elements();
  if (count == 0) return;
  launch_kernel(operation, check, threads_for(count), elements_of<const int32_t>(indices), extent, count,
                refuse_index(operation));
}

// A thread has a vector of a row.
template <typename T, int kWidth>
__global__ void select(const T* x, const int32_t* indices, T* out, int64_t extent, int64_t count,
                       int64_t width, int64_t threads, Refuse refuse) {
  const int64_t number = thread_number();
  if (number >= threads) return;
  const int64_t row = number / width;
  const int32_t index = indices[row % count];
  if (!is_inside(index, extent, refuse)) return;
  const auto* const from = vectors<kWidth>(x) + (row / count * extent + index) * width;
  store_vector(vectors<kWidth>(out) + number, load_vector(from + number % width));
}

// `position` says where an element lies but for `axis`, along which the index does.
template <typename T>
__global__ void gather(const T* x, const int32_t* indices, T* out, StridedIndex<1> position, int64_t step,
                       int64_t extent, int64_t count, Refuse refuse) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const int32_t index = indices[i];
  if (is_inside(index, extent, refuse)) out[i] = x[position.offset(0, i) + index * step];
}

// A thread has the elements of a line along `axis`. No other line of the source goes to the same line of the
// target.
template <bool kAdds, typename T, typename Target>
__global__ void scatter(const int32_t* indices, const T* source, Target* target, StridedIndex<2> line,
                        int64_t source_step, int64_t target_step, int64_t extent, int64_t count,
                        int64_t lines, Refuse refuse) {
  const int64_t number = thread_number();
  if (number >= lines) return;
  Target* const to = target + line.offset(0, number);
  const int64_t from = line.offset(1, number);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = from + i * source_step;
    const int32_t index = indices[at];
    if (!is_inside(index, extent, refuse)) continue;
    if constexpr (kAdds) {
      to[index * target_step] += Target(source[at]);
    } else {
      to[index * target_step] = source[at];
    }
  }
}

template <bool kAdds, typename T, typename Target>
void launch_scatter(const call::Scatter& call, const Tensor& target) {
  const int axis = call.axis;
  Shape lines = call.index.shape();
  const int64_t count = lines[axis];
  lines[axis] = 1;
  launch_kernel(call.name(), scatter<kAdds, T, Target>, threads_for(lines.elements()),
                elements_of<const int32_t>(call.index), elements_of<const T>(call.source),
                elements_of<Target>(target), StridedIndex<2>(lines, {&target, &call.index}),
                call.index.stride(axis), target.stride(axis), target.size(axis), count, lines.elements(),
                refuse_index(call.name()));
}

}  // namespace

template <>
void run_kernels(const call::IndexSelect& call) {
  const int64_t elements = call.out.elements(), inner = call.x.size(2);
  if (elements == 0) return check_indices(call.operation, call.indices, call.x.size(1));
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const bool allowed = is_aligned(call.x) && is_aligned(call.out) && inner % kWidest<T> == 0;
    with_width<T>(allowed, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(call.name(), select<T, kWidth>, threads_for(elements / kWidth),
                    elements_of<const T>(call.x), elements_of<const int32_t>(call.indices),
                    elements_of<T>(call.out), call.x.size(1), call.out.size(1), inner / kWidth,
                    elements / kWidth, refuse_index(call.operation));
    });
  });
}

template <>
void run_kernels(const call::IndexAdd& call) {
  if (call.source.elements() == 0) {
    return check_indices(call.operation, call.indices, call.target.size(1));
  }
  dispatch(call.target.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_same_v<T, uint8_t>) {
      launch_index_add_sorted<T>(call.name(), call.operation, call.indices, call.source, call.target,
                                 call.source.size(0), call.target.size(1), call.source.size(2));
    }
  });
}

template <>
void run_kernels(const call::Gather& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  Shape strides = call.x.strides();
  strides[call.axis] = 0;
  const Tensor start(call.x.storage(), call.index.shape(), strides, call.x.offset(), call.x.dtype(),
                     call.x.device());
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), gather<T>, threads_for(count), elements_of<const T>(call.x),
                  elements_of<const int32_t>(call.index), elements_of<T>(call.out),
                  StridedIndex<1>(start.shape(), {&start}), call.x.stride(call.axis), call.x.size(call.axis),
                  count, refuse_index(call.name()));
  });
}

template <>
void run_kernels(const call::Scatter& call) {
  if (call.index.elements() == 0) return;
  dispatch(call.target.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if (!call.adds) {
      launch_scatter<false, T, T>(call, call.target);
    } else if constexpr (std::is_same_v<T, bfloat16>) {  // sums are rounded once, at the end
      const Tensor wide(call.target.shape(), Dtype::float32, call.target.device());
      run_kernels(call::Copy{call.target, wide});
      launch_scatter<true, T, float>(call, wide);
      run_kernels(call::Copy{wide, call.target});
    } else if constexpr (std::is_floating_point_v<T>) {
      launch_scatter<true, T, T>(call, call.target);
    }
  });
}

}  // namespace haze::HAZE_KERNELS

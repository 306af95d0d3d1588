#include "haze/engine/cuda/norm.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/ops/adaptive_norm.h"

// A warp or a block normalises a row (norm.h) with the scale and shift of its sequence. The gradients of
// modulations are sums over the rows of a sequence. A block has a sequence and kThreads columns: it looks
// through the index for the rows of its sequence, and each thread sums its column over them in order.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

/// The sequence of each row.
struct SequenceOfRow {
  const int32_t* index;
  int64_t sequences;
  Refuse refuse;

  /// False where the index of the row is outside, which has been refused then.
  __device__ bool accepts(int64_t row) const { return is_inside(index[row], sequences, refuse); }
  __device__ int64_t operator()(int64_t row) const { return index[row]; }
};

SequenceOfRow sequence_of_row(const char* operation, const Tensor& index, const Tensor& modulation) {
  return {elements_of<const int32_t>(index), modulation.size(0), refuse_index(operation)};
}

/// Of the sequences, [sequences, columns].
template <typename T>
struct Modulation {
  const T* elements;
  int64_t stride;

  explicit Modulation(const Tensor& x)
      : elements(elements_of<const T>(x)), stride(x.defined() ? x.stride(0) : 0) {}
  __device__ T operator()(int64_t sequence, int64_t column) const {
    return elements[sequence * stride + column];
  }
  /// Vector i of a row.
  template <int kWidth>
  __device__ auto vector(int64_t sequence, int64_t i) const {
    return load_wide<kWidth>(elements + sequence * stride, i);
  }
};

/// Whether vectors may be read from modulations, which may be undefined.
template <typename T>
bool takes_vectors(const Tensor& x) {
  return is_aligned(x) && (!x.defined() || x.stride(0) % kWidest<T> == 0);
}

template <typename T>
struct OfSequence {
  SequenceOfRow sequence;
  Modulation<T> scales, shifts;

  __device__ bool accepts(int64_t row) const { return sequence.accepts(row); }
  template <int kWidth>
  __device__ auto scale(int64_t row, int64_t i) const {
    auto result = scales.template vector<kWidth>(sequence(row), i);
    for (int k = 0; k < kWidth; ++k) result.of[k] += 1;
    return result;
  }
  template <int kWidth>
  __device__ auto shift(int64_t row, int64_t i) const {
    return shifts.template vector<kWidth>(sequence(row), i);
  }
};

/// out [sequences, columns]: the sums of term(row, column) over the rows of each sequence.
template <typename T, typename Term>
__global__ void __launch_bounds__(kThreads)
    sum_by_sequence(Term term, const int32_t* index, T* out, int64_t rows, int64_t columns, int64_t tiles) {
  SHARED(int32_t, sequence_of, [kThreads]);
  const int64_t sequence = blockIdx.x / tiles, column = blockIdx.x % tiles * kThreads + threadIdx.x;
  double sum = 0;
  for (int64_t first = 0; first < rows; first += kThreads) {
    const int32_t own = first + threadIdx.x < rows ? index[first + threadIdx.x] : -1;
    sequence_of[threadIdx.x] = own;
    if (!__syncthreads_or(own == sequence)) continue;
    for (unsigned i = 0; i < kThreads && column < columns; ++i) {
      if (sequence_of[i] == sequence) sum += static_cast<double>(term(first + i, column));
    }
    __syncthreads();
  }
  if (column < columns) out[sequence * columns + column] = static_cast<T>(sum);
}

template <typename T, typename Term>
void run_sum_by_sequence(const char* name, const Term& term, const Tensor& index, const Tensor& out) {
  const int64_t columns = out.size(1), tiles = (columns + kThreads - 1) / kThreads;
  if (out.elements() == 0) return;
  launch_kernel(name, sum_by_sequence<T, Term>, {{static_cast<unsigned>(out.size(0) * tiles)}, {kThreads}},
                term, elements_of<const int32_t>(index), elements_of<T>(out), index.elements(), columns,
                tiles);
}

/// The terms of the gradients of shift, of scale and of a gate. g, x and branch are [rows, columns].
template <typename T>
struct Itself {
  const T* g;
  int64_t columns;
  __device__ T operator()(int64_t row, int64_t column) const { return g[row * columns + column]; }
};
template <typename T>
struct TimesNormalized {
  const T *g, *x, *means, *rstds;
  int64_t columns;
  __device__ T operator()(int64_t row, int64_t column) const {
    const int64_t i = row * columns + column;
    return g[i] * ((x[i] - means[row]) * rstds[row]);
  }
};
template <typename T>
struct TimesBranch {
  const T *g, *branch;
  int64_t columns;
  __device__ T operator()(int64_t row, int64_t column) const {
    return g[row * columns + column] * branch[row * columns + column];
  }
};

// A thread has a vector of a row.
template <int kWidth, typename T>
__global__ void gated_add(const T* x, Modulation<T> gate, const T* branch, SequenceOfRow sequence, T* out,
                          int64_t width, int64_t threads) {
  const int64_t i = thread_number(), row = i / width;
  if (i >= threads || !sequence.accepts(row)) return;
  const auto gates = gate.template vector<kWidth>(sequence(row), i % width);
  auto result = load_wide<kWidth>(x, i);
  const auto added = load_wide<kWidth>(branch, i);
  for (int k = 0; k < kWidth; ++k) result.of[k] += gates.of[k] * added.of[k];
  store_vector(vectors<kWidth>(out) + i, result);
}

template <int kWidth, typename T>
__global__ void branch_gradient(const T* g, Modulation<T> gate, SequenceOfRow sequence, T* out, int64_t width,
                                int64_t threads) {
  const int64_t i = thread_number(), row = i / width;
  if (i >= threads || !sequence.accepts(row)) return;
  const auto gates = gate.template vector<kWidth>(sequence(row), i % width);
  auto result = load_wide<kWidth>(g, i);
  for (int k = 0; k < kWidth; ++k) result.of[k] *= gates.of[k];
  store_vector(vectors<kWidth>(out) + i, result);
}

}  // namespace

template <>
void run_kernels(const call::AdaptiveLayerNorm& call) {
  const int64_t rows = call.x.size(0);
  if (rows == 0) return;
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const OfSequence<T> affine{sequence_of_row(call.name(), call.index, call.scale),
                               Modulation<T>(call.scale), Modulation<T>(call.shift)};
    launch_normalize<T>(call.name(), call.x, affine,
                        takes_vectors<T>(call.scale) && takes_vectors<T>(call.shift), call.epsilon, call.out,
                        call.x.size(1));
  });
}

template <>
void run_kernels(const call::AdaptiveLayerNormGradient& call) {
  const int64_t rows = call.x.size(0), columns = call.x.size(1);
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto *g = elements_of<const T>(call.g), *x = elements_of<const T>(call.x);
    const auto *means = elements_of<const T>(call.saved.mean), *rstds = elements_of<const T>(call.saved.rstd);
    const OfSequence<T> affine{sequence_of_row(call.name(), call.index, call.scale),
                               Modulation<T>(call.scale), Modulation<T>(Tensor())};
    if (rows > 0) {
      launch_normalize_gradient<T>(call.name(), call.g, call.x, affine, takes_vectors<T>(call.scale),
                                   call.saved, call.out.x, columns);
    }
    run_sum_by_sequence<T>(call.name(), TimesNormalized<T>{g, x, means, rstds, columns}, call.index,
                           call.out.weight);
    run_sum_by_sequence<T>(call.name(), Itself<T>{g, columns}, call.index, call.out.bias);
  });
}

template <>
void run_kernels(const call::GatedAdd& call) {
  const int64_t count = call.x.elements();
  if (count == 0) return;
  dispatch_real(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const bool aligned = takes_vectors<T>(call.gate) && is_aligned(call.x) && is_aligned(call.branch) &&
                         is_aligned(call.out) && call.x.size(1) % kWidest<T> == 0;
    with_width<T>(aligned, [&](auto width) {
      constexpr int kWidth = decltype(width)::value;
      launch_kernel(call.name(), gated_add<kWidth, T>, threads_for(count / kWidth),
                    elements_of<const T>(call.x), Modulation<T>(call.gate), elements_of<const T>(call.branch),
                    sequence_of_row(call.name(), call.index, call.gate), elements_of<T>(call.out),
                    call.x.size(1) / kWidth, count / kWidth);
    });
  });
}

template <>
void run_kernels(const call::GatedAddGradient& call) {
  const int64_t count = call.g.elements(), columns = call.g.size(1);
  dispatch_real(call.g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const auto *g = elements_of<const T>(call.g), *branch = elements_of<const T>(call.branch);
    if (count > 0) {
      const bool aligned = takes_vectors<T>(call.gate) && is_aligned(call.g) && is_aligned(call.out_branch) &&
                           columns % kWidest<T> == 0;
      with_width<T>(aligned, [&](auto width) {
        constexpr int kWidth = decltype(width)::value;
        launch_kernel(call.name(), branch_gradient<kWidth, T>, threads_for(count / kWidth), g,
                      Modulation<T>(call.gate), sequence_of_row(call.name(), call.index, call.gate),
                      elements_of<T>(call.out_branch), columns / kWidth, count / kWidth);
      });
    }
    run_sum_by_sequence<T>(call.name(), TimesBranch<T>{g, branch, columns}, call.index, call.out_gate);
  });
}

}  // namespace haze::HAZE_KERNELS

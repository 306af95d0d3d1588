#include "haze/engine/simt/gpu_simt.h"

#include "engine/simt/kernels.h"

namespace haze::HAZE_KERNELS {
namespace {

// The sum of each block of 256 numbers: a tree in shared memory, whose last steps one warp does.
template <bool kBlockBarrier, bool kWarpBarrier>
__global__ void reduce(const float* in, float* out, int) {
  SHARED(float, s, [256]);
  const unsigned t = threadIdx.x;
  s[t] = in[blockIdx.x * 256 + t];
  __syncthreads();
  for (unsigned k = 128; k >= 64; k /= 2) {
    if (t < k) s[t] += s[t + k];
    if constexpr (kBlockBarrier) __syncthreads();
  }
  if (t >= 32) return;
  for (unsigned k = 32; k > 0; k /= 2) {
    const float other = s[t + k];
    if constexpr (kWarpBarrier) __syncwarp();
    s[t] += other;
    if constexpr (kWarpBarrier) __syncwarp();
  }
  if (t == 0) out[blockIdx.x] = s[0];
}

// One warp: out = the sum, whether a vote is right, the lanes of equal values, and the three kinds of
// barrier.
__global__ void collectives(const float* in, float* out, int) {
  const unsigned t = threadIdx.x;
  float sum = in[t];
  for (int k = 16; k > 0; k /= 2) sum += __shfl_down_sync(~0u, sum, k);
  float mirrored = in[t];
  for (int k = 1; k < 32; k *= 2) mirrored = __shfl_xor_sync(~0u, mirrored, k);
  const float below = __shfl_up_sync(~0u, in[t], 1, 8), third = __shfl_sync(~0u, in[t], 3, 8);
  const uint32_t even = __ballot_sync(~0u, t % 2 == 0), like_me = __match_any_sync(~0u, t / 8);
  const int count = __syncthreads_count(t < 5), all = __syncthreads_and(t < 32),
            any = __syncthreads_or(t > 31);
  out[t * 4] = t == 0 ? sum : mirrored;
  out[t * 4 + 1] = below + 100 * third;
  out[t * 4 + 2] = even == 0x55555555u && like_me == 0xFFu << t / 8 * 8;
  out[t * 4 + 3] = count == 5 && all == 1 && any == 0;
}

// Neighbours exchange values through shared memory around a shuffle, which orders no memory.
template <bool kBarrier>
__global__ void exchange(const float* in, float* out, int) {
  SHARED(float, s, [32]);
  s[threadIdx.x] = in[threadIdx.x];
  if constexpr (kBarrier) {
    __syncwarp();
  } else {
    __shfl_sync(~0u, 0, 0);
  }
  out[threadIdx.x] = s[threadIdx.x ^ 1];
}

template <bool kAtomic>
__global__ void add_blocks(const float* in, float* out, int) {
  if (threadIdx.x != 0) return;
  if constexpr (kAtomic) {
    atomicAdd(out, in[blockIdx.x]);
  } else {
    out[0] += in[blockIdx.x];
  }
}

// The last block to finish adds up what all have written. out: the sum, four parts, the ticket.
template <bool kFence>
__global__ void last_block(const float* in, float* out, int) {
  SHARED(int, is_last, [1]);
  if (threadIdx.x == 0) {
    out[1 + blockIdx.x] = in[blockIdx.x];
    if constexpr (kFence) __threadfence();
    is_last[0] = atomicAdd(reinterpret_cast<int*>(out + 5), 1) == static_cast<int>(gridDim.x) - 1;
    if constexpr (kFence) __threadfence();
  }
  __syncthreads();
  if (is_last[0] && threadIdx.x == 1) out[0] = out[1] + out[2] + out[3] + out[4];
}

// out[t] = the sum over tiles of the mirrored element. The next tile is loaded while this one is read.
__global__ void double_buffer(const float* in, float* out, int tiles) {
  SHARED(float, tile, [2][64]);
  const unsigned t = threadIdx.x;
  float sum = 0;
  tile[0][t] = in[t];
  __syncthreads();
  for (int i = 0; i < tiles; ++i) {
    if (i + 1 < tiles) tile[(i + 1) % 2][t] = in[(i + 1) * 64 + t];
    sum += tile[i % 2][63 - t];
    __syncthreads();
  }
  out[t] = sum;
}

// All but n of the elements of dynamic shared memory are written.
__global__ void mirrored(const float* in, float* out, int n) {
  DYNAMIC_SHARED(float, s);
  const unsigned t = threadIdx.x;
  if (static_cast<int>(t) >= n) s[t] = in[t];
  __syncthreads();
  out[t] = s[blockDim.x - 1 - t];
}

// n is how far the read is shifted.
__global__ void shifted(const float* in, float* out, int n) {
  out[threadIdx.x] = in[static_cast<int>(threadIdx.x) + n];
}

struct alignas(16) Four {
  float values[4];
};

// n is how many floats the reads are shifted.
__global__ void copy_vectors(const float* in, float* out, int n) {
  const unsigned i = threadIdx.x;
  store_vector(reinterpret_cast<Four*>(out) + i, load_vector(reinterpret_cast<const Four*>(in + n) + i));
}

// Threads from n on leave before the barrier.
__global__ void early_return(const float* in, float* out, int n) {
  if (static_cast<int>(threadIdx.x) >= n) return;
  __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}

// Lanes from n on vote elsewhere.
__global__ void divergent_votes(const float*, float* out, int n) {
  if (static_cast<int>(threadIdx.x) < n) {
    out[threadIdx.x] = static_cast<float>(__ballot_sync(~0u, 1));
  } else {
    __syncwarp();
    out[threadIdx.x] = 0;
  }
}

// The first half of a warp shuffles, and reads lane n.
__global__ void half_shuffle(const float* in, float* out, int n) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xFFFFu, in[threadIdx.x], n);
}

// Neighbours write the two halves of one word.
__global__ void half_words(const float*, float* out, int) {
  reinterpret_cast<uint16_t*>(out)[threadIdx.x] = 1;
}

__global__ void host_memory(const float*, float* out, int n) {
  int* const pointer = reinterpret_cast<int*>(static_cast<uintptr_t>(n));
  out[threadIdx.x] = static_cast<float>(*pointer);
}

template <int kStride>
__global__ void copy(const float* in, float* out, int) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i * kStride] = in[i * kStride];
}

__global__ void transpose(const float* in, float* out, int n) {
  const unsigned x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  out[x * n + y] = in[y * n + x];
}

template <int kPadding>
__global__ void transpose_tile(const float* in, float* out, int n) {
  SHARED(float, tile, [32][32 + kPadding]);
  const unsigned x = threadIdx.x, y = threadIdx.y;
  tile[y][x] = in[(blockIdx.y * 32 + y) * n + blockIdx.x * 32 + x];
  __syncthreads();
  out[(blockIdx.x * 32 + y) * n + blockIdx.y * 32 + x] = tile[x][y];
}

template <int kStride>
__global__ void shared_vectors(const float*, float* out, int) {
  SHARED(Four, s, [32 * kStride]);
  store_vector(&s[threadIdx.x * kStride], Four{{1, 2, 3, 4}});
  out[threadIdx.x] = load_vector(&s[threadIdx.x * kStride]).values[3];
}

// out = a b for n x n matrices, in = a and then b.
__global__ void matmul(const float* in, float* out, int n) {
  SHARED(float, a, [16][16]);
  SHARED(float, b, [16][16]);
  const unsigned x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0;
  for (int k = 0; k < n; k += 16) {
    a[y][x] = in[row * n + k + x];
    b[y][x] = in[n * n + (k + y) * n + column];
    __syncthreads();
    for (int i = 0; i < 16; ++i) sum += a[y][i] * b[i][x];
    __syncthreads();
  }
  out[row * n + column] = sum;
}

struct Named {
  const char* name;
  void (*kernel)(const float*, float*, int);
};
constexpr Named kKernels[] = {
    {"reduce", reduce<true, true>},
    {"reduce without __syncthreads", reduce<false, true>},
    {"reduce without __syncwarp", reduce<true, false>},
    {"collectives", collectives},
    {"exchange", exchange<true>},
    {"exchange around a shuffle", exchange<false>},
    {"add blocks", add_blocks<true>},
    {"add blocks without atomic", add_blocks<false>},
    {"last block", last_block<true>},
    {"last block without fence", last_block<false>},
    {"double buffer", double_buffer},
    {"mirrored", mirrored},
    {"shifted", shifted},
    {"copy vectors", copy_vectors},
    {"early return", early_return},
    {"divergent votes", divergent_votes},
    {"half shuffle", half_shuffle},
    {"half words", half_words},
    {"host memory", host_memory},
    {"copy", copy<1>},
    {"copy with stride 2", copy<2>},
    {"transpose", transpose},
    {"transpose by tiles", transpose_tile<0>},
    {"transpose by padded tiles", transpose_tile<1>},
    {"shared vectors", shared_vectors<1>},
    {"shared vectors with stride 2", shared_vectors<2>},
    {"matmul", matmul},
};

}  // namespace

void start(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n) {
  for (const Named& named : kKernels) {
    if (__builtin_strcmp(named.name, kernel) == 0) {
      return launch_kernel(named.name, named.kernel, shape, in, out, n);
    }
  }
}

}  // namespace haze::HAZE_KERNELS

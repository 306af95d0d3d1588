#include "haze/engine/simt/gpu_simt.h"

#include "engine/simt/kernels.h"

// Asynchronous copies and tensor cores.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kVector = 4;  // floats of 16 bytes

// out[t] = the sum over tiles of the mirrored element. The next tile is on its way while this one is read.
template <unsigned kWaitedFor>
__global__ void stream_tiles(const float* in, float* out, int tiles) {
  SHARED(float, tile, [2][64 * kVector]);
  const unsigned t = threadIdx.x;
  const auto prefetch = [&](int i) {
    if (i < tiles) copy_async<16>(&tile[i % 2][t * kVector], in + (i * 64 + t) * kVector);
    copy_async_commit();
  };
  float sum = 0;
  prefetch(0);
  for (int i = 0; i < tiles; ++i) {
    prefetch(i + 1);
    copy_async_wait<kWaitedFor>();
    __syncthreads();
    sum += tile[i % 2][63 - t];
    __syncthreads();
  }
  out[t] = sum;
}

// A copy of n numbers. Where they end within a vector, zeros follow.
template <bool kFills>
__global__ void copy_ragged(const float* in, float* out, int n) {
  SHARED(float, s, [32 * kVector]);
  const unsigned first = threadIdx.x * kVector;
  const int left = n - static_cast<int>(first);
  const unsigned valid = left <= 0 ? 0 : left < 4 ? static_cast<unsigned>(left) * 4 : 16;
  copy_async<16>(&s[first], in + first, kFills ? valid : 16);
  copy_async_commit();
  copy_async_wait<0>();
  for (unsigned i = 0; i < kVector; ++i) out[first + i] = s[first + i];
}

// Of n vectors a lane, the last one is copied, and zeros come in place of the others.
__global__ void copy_last(const float* in, float* out, int n) {
  SHARED(float, s, [32 * kVector]);
  const unsigned first = threadIdx.x * kVector;
  for (int i = 0; i < n; ++i) {
    copy_async<16>(&s[first], in + first, i == n - 1 ? 16 : 0);
    copy_async_commit();
    copy_async_wait<0>();
  }
  out[threadIdx.x] = s[first];
}

// n is how far the copies, of 8 bytes, are shifted.
template <bool kCommits>
__global__ void copy_shifted(const float* in, float* out, int n) {
  SHARED(float, s, [64]);
  copy_async<8>(&s[threadIdx.x * 2], in + threadIdx.x * 2 + n);
  if constexpr (kCommits) copy_async_commit();
  copy_async_wait<0>();
  __syncwarp();
  out[threadIdx.x] = s[(threadIdx.x ^ 1) * 2];
}

__global__ void copy_out_of_shared(const float*, float* out, int) {
  SHARED(float, s, [32]);
  copy_async<4>(out + threadIdx.x, &s[threadIdx.x]);
}

// Four matrices of 8 x 8 numbers 0, 1, 2, ..., whose rows are kPitch apart: what each lane reads of them.
template <bool kTransposed, unsigned kPitch>
__global__ void read_matrices(const float*, float* out, int) {
  SHARED(uint16_t, s, [32 * kPitch]);
  const unsigned t = threadIdx.x;
  for (unsigned i = 0; i < 8; ++i) s[t * kPitch + i] = static_cast<uint16_t>(t * 8 + i);
  __syncwarp();
  uint32_t words[4];
  if constexpr (kTransposed) {
    ldmatrix_transposed(words, &s[t * kPitch]);
  } else {
    ldmatrix(words, &s[t * kPitch]);
  }
  for (unsigned i = 0; i < 8; ++i) out[t * 8 + i] = static_cast<float>(words[i / 2] >> i % 2 * 16 & 0xFFFF);
}

// The same of two matrices.
__global__ void read_two_matrices(const float*, float* out, int) {
  SHARED(uint16_t, s, [16 * 8]);
  const unsigned t = threadIdx.x;
  for (unsigned i = 0; i < 4; ++i) s[t * 4 + i] = static_cast<uint16_t>(t * 4 + i);
  __syncwarp();
  uint32_t words[2];
  ldmatrix(words, &s[t % 16 * 8]);
  for (unsigned i = 0; i < 4; ++i) out[t * 4 + i] = static_cast<float>(words[i / 2] >> i % 2 * 16 & 0xFFFF);
}

// in = a [16, 16], b [16, 8], c [16, 8]; out = c + a b. The elements of a lane are those of the PTX ISA.
__global__ void multiply_bfloat16(const float* in, float* out, int) {
  const unsigned group = threadIdx.x >> 2, thread = threadIdx.x % 4;
  const float *a_in = in, *b_in = in + 256, *c_in = in + 384;
  FragmentA<bfloat16> a{};
  FragmentB<bfloat16> b{};
  FragmentC c;
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned row = i % 4 < 2 ? group : group + 8, k = thread * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    a.words[i / 2] |= static_cast<uint32_t>(bfloat16(a_in[row * 16 + k]).bits) << i % 2 * 16;
  }
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned k = thread * 2 + (i & 1) + (i >= 2 ? 8 : 0);
    b.words[i / 2] |= static_cast<uint32_t>(bfloat16(b_in[k * 8 + group]).bits) << i % 2 * 16;
  }
  for (unsigned i = 0; i < 4; ++i) c.values[i] = c_in[(i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1)];
  mma(c, a, b);
  for (unsigned i = 0; i < 4; ++i)
    out[FragmentC::row(threadIdx.x, i) * 8 + FragmentC::column(threadIdx.x, i)] = c.values[i];
}

// in = a [16, 8], b [8, 8], c [16, 8]. Where n is 1, numbers are not rounded before.
__global__ void multiply_tfloat32(const float* in, float* out, int n) {
  const unsigned group = threadIdx.x >> 2, thread = threadIdx.x % 4;
  const float *a_in = in, *b_in = in + 128, *c_in = in + 192;
  const auto element = [n](float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return n == 1 ? bits : rounded_to_tfloat32(x).bits;
  };
  FragmentA<tfloat32> a;
  FragmentB<tfloat32> b;
  FragmentC c;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = i % 2 == 0 ? group : group + 8, k = i < 2 ? thread : thread + 4;
    a.words[i] = element(a_in[row * 8 + k]);
    c.values[i] = c_in[(i < 2 ? group : group + 8) * 8 + thread * 2 + (i & 1)];
  }
  for (unsigned i = 0; i < 2; ++i) b.words[i] = element(b_in[(i == 0 ? thread : thread + 4) * 8 + group]);
  mma(c, a, b);
  for (unsigned i = 0; i < 4; ++i)
    out[FragmentC::row(threadIdx.x, i) * 8 + FragmentC::column(threadIdx.x, i)] = c.values[i];
}

// Lanes from n on do something else: wait, or read elsewhere.
template <bool kReads>
__global__ void divergent_matrices(const float*, float* out, int n) {
  SHARED(uint16_t, s, [32 * 8]);
  for (unsigned i = 0; i < 8; ++i) s[threadIdx.x * 8 + i] = 1;
  __syncwarp();
  uint32_t words[4] = {};
  if (static_cast<int>(threadIdx.x) < n) {
    ldmatrix(words, &s[threadIdx.x * 8]);
  } else if constexpr (kReads) {
    ldmatrix(words, &s[threadIdx.x * 8]);
  } else {
    __syncwarp();
  }
  out[threadIdx.x] = static_cast<float>(words[0]);
}

struct Named {
  const char* name;
  void (*kernel)(const float*, float*, int);
};
constexpr Named kKernels[] = {
    {"stream tiles", stream_tiles<1>},
    {"stream tiles, waiting too little", stream_tiles<2>},
    {"copy ragged", copy_ragged<true>},
    {"copy beyond the end", copy_ragged<false>},
    {"copy last", copy_last},
    {"copy shifted", copy_shifted<true>},
    {"copy without commit", copy_shifted<false>},
    {"copy out of shared memory", copy_out_of_shared},
    {"read matrices", read_matrices<false, 8>},
    {"read transposed matrices", read_matrices<true, 8>},
    {"read matrices 128 bytes apart", read_matrices<false, 64>},
    {"read matrices 144 bytes apart", read_matrices<false, 72>},
    {"read matrices 20 bytes apart", read_matrices<false, 10>},
    {"read two matrices", read_two_matrices},
    {"multiply bfloat16", multiply_bfloat16},
    {"multiply tfloat32", multiply_tfloat32},
    {"divergent matrices", divergent_matrices<false>},
    {"matrices at two lines", divergent_matrices<true>},
};

}  // namespace

void start_tensor(const char* kernel, const simt::LaunchShape& shape, const float* in, float* out, int n) {
  for (const Named& named : kKernels) {
    if (__builtin_strcmp(named.name, kernel) == 0) {
      return launch_kernel(named.name, named.kernel, shape, in, out, n);
    }
  }
}

}  // namespace haze::HAZE_KERNELS

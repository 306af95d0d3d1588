#include "haze/engine/cpu/gemm/bf16_avx512.h"

#include <array>
#include <utility>

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")
#include <immintrin.h>
#endif

namespace haze::avx512_bf16 {

#if defined(__x86_64__)

namespace {

// As gemm-inl.h's MicroKernel, a pair of rows of b at a time: 24 accumulators of the 32 registers.
template <int64_t kCount>
void multiply(const float* a, int64_t, const float* b, int64_t b_stride, int64_t k_count, float* c,
              int64_t c_stride, bool add) {
  __m512 low[kCount], high[kCount];
#pragma GCC unroll 16
  for (int64_t r = 0; r < kCount; ++r) low[r] = high[r] = _mm512_setzero_ps();
  for (int64_t k = 0; k < k_count; ++k) {
    const auto b_low = reinterpret_cast<__m512bh>(_mm512_loadu_ps(b));
    const auto b_high = reinterpret_cast<__m512bh>(_mm512_loadu_ps(b + 16));
    __builtin_prefetch(b + kPrefetchedSteps * b_stride);
    __builtin_prefetch(b + kPrefetchedSteps * b_stride + 16);
    b += b_stride;
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; ++r) {
      const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_ps(a[r]));
      low[r] = _mm512_dpbf16_ps(low[r], pair, b_low);
      high[r] = _mm512_dpbf16_ps(high[r], pair, b_high);
    }
    a += kRows;
  }
  if (add) {
#pragma GCC unroll 16
    for (int64_t r = 0; r < kCount; ++r) {
      low[r] = _mm512_add_ps(low[r], _mm512_loadu_ps(c + r * c_stride));
      high[r] = _mm512_add_ps(high[r], _mm512_loadu_ps(c + r * c_stride + 16));
    }
  }
#pragma GCC unroll 16
  for (int64_t r = 0; r < kCount; ++r) {
    _mm512_storeu_ps(c + r * c_stride, low[r]);
    _mm512_storeu_ps(c + r * c_stride + 16, high[r]);
  }
}

template <int64_t... kIndex>
constexpr std::array<MicroKernelFunction<float>, kRows> kernels(std::integer_sequence<int64_t, kIndex...>) {
  return {multiply<kIndex + 1>...};
}

// A loop whose sums stay in registers; their values are of no interest.
void multiply_add_pairs(int64_t rounds) {
  constexpr int kChains = 12;  // two units with a latency of five cycles need ten
  const __m512bh pairs = {};
  __m512 sums[kChains] = {};
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], pairs, pairs);
      asm volatile("" : "+v"(sums[i]));
    }
  }
}

}  // namespace

#pragma GCC pop_options

bool supported() {
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

MicroKernelFunction<float> kernel(int64_t rows) {
  static constexpr auto kKernels = kernels(std::make_integer_sequence<int64_t, kRows>());
  return kKernels[static_cast<size_t>(rows - 1)];
}

void keep_busy(int64_t rounds) {
  multiply_add_pairs(rounds);
}

#else

bool supported() {
  return false;
}
MicroKernelFunction<float> kernel(int64_t) {
  return nullptr;
}
void keep_busy(int64_t) {}

#endif

}  // namespace haze::avx512_bf16

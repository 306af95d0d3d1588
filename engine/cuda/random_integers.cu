#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/integer_draws.h"
#include "haze/engine/ops/random_integers.h"

// A thread draws one integer, with the counters that the cpu's kernels use for it. Threads of a warp may need
// different numbers of Poisson's trials and then wait for the slowest; most need one or two.
namespace haze::HAZE_KERNELS {
namespace {

__global__ void random_integers(RandomStream random, int64_t low, uint64_t range, uint64_t surplus,
                                int32_t* out, int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const auto drawn = static_cast<int64_t>(integer_below(range, surplus, random.words(i)));
  out[i] = static_cast<int32_t>(low + drawn);
}

template <typename T>
__global__ void bernoulli(const T* probability, RandomStream random, Refuse refuse, uint8_t* out,
                          int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const auto p = static_cast<double>(probability[i]);
  if (!(p >= 0 && p <= 1)) refuse({.number = p});
  const std::array<uint32_t, 4> words = random.words(i / 2);
  const size_t at = i % 2 == 0 ? 0 : 2;
  out[i] = unit_interval(words[at], words[at + 1]) < p;
}

template <typename T>
__global__ void poisson(const T* rate, RandomStream random, Refuse refuse, int32_t* out, int64_t count) {
  const int64_t i = thread_number();
  if (i >= count) return;
  const auto mean = static_cast<double>(rate[i]);
  const bool taken = mean >= 0 && mean <= call::Poisson::kLargestRate;
  if (!taken) refuse({.limit = static_cast<int64_t>(call::Poisson::kLargestRate), .number = mean});
  const auto words = [&](uint64_t trial) { return random.words(static_cast<int64_t>(trial) * count + i); };
  out[i] = taken ? draw_poisson(mean, call::Poisson::kTrials, words) : 0;
}

}  // namespace

template <>
void run_kernels(const call::RandomIntegers& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const auto range = static_cast<uint64_t>(call.high - call.low), surplus = (0 - range) % range;
  launch_kernel(call.name(), random_integers, threads_for(count), RandomStream(call.position), call.low,
                range, surplus, elements_of<int32_t>(call.out), count);
}

template <>
void run_kernels(const call::Bernoulli& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Refuse refuse(call.name(), "{operation}: the probability {number} is not in [0, 1]");
  dispatch_floating(call.probability.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), bernoulli<T>, threads_for(count), elements_of<const T>(call.probability),
                  RandomStream(call.position), refuse, elements_of<uint8_t>(call.out), count);
  });
}

template <>
void run_kernels(const call::Poisson& call) {
  const int64_t count = call.out.elements();
  if (count == 0) return;
  const Refuse refuse(call.name(), "{operation}: the rate {number} is not in [0, {limit}]");
  dispatch_floating(call.rate.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), poisson<T>, threads_for(count), elements_of<const T>(call.rate),
                  RandomStream(call.position), refuse, elements_of<int32_t>(call.out), count);
  });
}

}  // namespace haze::HAZE_KERNELS

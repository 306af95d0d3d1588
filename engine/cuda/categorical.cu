#include <bit>
#include <cmath>

#include "haze/engine/cuda/random.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/categorical.h"

// A block has a row, and each of its warps a segment of it. The warps sum e^(entry - maximum) over their
// segments in float64. The entry at which the cumulative sum passes the random number lies in one segment,
// whose warp walks it again, 32 entries at a time.
namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256, kWarps = kThreads / kWarp;

/// What the kernel refuses, in the words of the cpu's.
struct Refusals {
  Refuse nan, infinity, nothing, uniform;
};

template <typename T>
__device__ bool is_broken(T entry) {  // NaN or +infinity
  return !(entry < std::numeric_limits<T>::infinity());
}

/// Of a row: its largest entry. False where the row is no distribution, which has been refused then.
template <typename T>
__device__ bool row_maximum(const T* row, int64_t columns, const Refusals& refuse, Wide<T>& maximum) {
  using W = Wide<T>;
  SHARED(W, scratch, [kWarps]);
  SHARED(int64_t, broken_scratch, [kWarps]);
  W largest = -std::numeric_limits<W>::infinity();
  int64_t broken = columns;
  for (int64_t i = threadIdx.x; i < columns; i += kThreads) {
    const W entry = W(row[i]);
    if (is_broken(entry) && i < broken) broken = i;
    largest = Larger()(largest, entry);
  }
  maximum = over_block<kThreads>(largest, scratch, Larger());
  broken = over_block<kThreads>(broken, broken_scratch, Smaller());
  const bool possible = maximum > -std::numeric_limits<W>::infinity();
  if (broken == columns && possible) return true;
  if (threadIdx.x != 0) return false;
  if (broken == columns) {
    refuse.nothing({.position = blockIdx.x});
  } else {
    const Refuse& why = std::isnan(W(row[broken])) ? refuse.nan : refuse.infinity;
    why({.value = broken, .position = blockIdx.x});
  }
  return false;
}

/// The sum over the lanes up to this one.
__device__ inline double sum_of_lanes_before_and_own(double value) {
  const unsigned lane = threadIdx.x % kWarp;
  for (unsigned distance = 1; distance < kWarp; distance *= 2) {
    const double other = __shfl_up_sync(kAllLanes, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

/// The entry of [first, last) at which the sum passes the target: the last one with any weight where rounding
/// keeps the sum below it. A warp calls it; `weight(i)` is the weight of entry i.
template <typename Weight>
__device__ int64_t passing_entry(int64_t first, int64_t last, double before, double target,
                                 const Weight& weight) {
  const unsigned lane = threadIdx.x % kWarp;
  int64_t drawn = first;
  for (int64_t start = first; start < last; start += kWarp) {
    const double own = start + lane < last ? weight(start + lane) : 0;
    const double sum = before + sum_of_lanes_before_and_own(own);
    const unsigned passing = __ballot_sync(kAllLanes, own > 0 && sum > target);
    // Lane l's bit is bit l: the lowest one is the first entry that passes.
    if (passing != 0) return start + std::countr_zero(passing);
    const unsigned possible = __ballot_sync(kAllLanes, own > 0);
    if (possible != 0) drawn = start + std::bit_width(possible) - 1;
    before = __shfl_sync(kAllLanes, sum, kWarp - 1);
  }
  return drawn;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    categorical(const T* x, const double* uniforms, RandomStream random, Refusals refuse, int32_t* out,
                int64_t columns) {
  using W = Wide<T>;
  SHARED(double, sums, [kWarps]);
  const T* const row = x + blockIdx.x * columns;
  W maximum;
  if (!row_maximum(row, columns, refuse, maximum)) return;
  const auto weight = [&](int64_t i) { return static_cast<double>(std::exp(W(row[i]) - maximum)); };

  const int64_t length = (columns + kWarps - 1) / kWarps;
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const auto end_of = [&](unsigned segment) {
    const int64_t end = (segment + 1) * length;
    return end < columns ? end : columns;
  };
  double sum = 0;
  for (int64_t i = warp * length + lane; i < end_of(warp); i += kWarp) sum += weight(i);
  sum = over_warp(sum, Plus());
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (warp != 0) return;

  double unit;
  if (uniforms) {
    unit = uniforms[blockIdx.x];
    if (!(unit >= 0 && unit < 1)) {
      if (lane == 0) refuse.uniform({.number = unit});
      return;
    }
  } else {
    const std::array<uint32_t, 4> words = random.words(blockIdx.x);
    unit = unit_interval(words[0], words[1]);
  }
  double total = 0;
  for (unsigned segment = 0; segment < kWarps; ++segment) total += sums[segment];
  const double target = unit * total;
  // Adds the segments in the order of `total`, so the sum does pass the target, whatever the rounding.
  double before = 0;
  unsigned segment = 0;
  while (segment + 1 < kWarps && before + sums[segment] <= target) before += sums[segment++];
  const int64_t drawn = passing_entry(segment * length, end_of(segment), before, target, weight);
  if (lane == 0) out[blockIdx.x] = static_cast<int32_t>(drawn);
}

}  // namespace

template <>
void run_kernels(const call::Categorical& call) {
  const int64_t rows = call.out.elements();
  if (rows == 0) return;
  const char* const name = call.name();
  const Refusals refuse{{name, "{operation}: row {position} has a NaN at category {value}"},
                        {name, "{operation}: row {position} has +infinity at category {value}"},
                        {name, "{operation}: row {position} has no finite log-probability"},
                        {name, "{operation}: uniforms hold {number}, they take numbers in [0, 1)"}};
  dispatch_floating(call.log_probabilities.dtype(), [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(name, categorical<T>, {{static_cast<unsigned>(rows)}, {kThreads}},
                  elements_of<const T>(call.log_probabilities), elements_of<const double>(call.uniforms),
                  RandomStream(call.position), refuse, elements_of<int32_t>(call.out),
                  call.log_probabilities.size(1));
  });
}

}  // namespace haze::HAZE_KERNELS

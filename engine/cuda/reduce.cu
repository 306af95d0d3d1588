#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/warp.h"
#include "haze/engine/ops/reduce.h"

namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

// x [outer, count, inner] -> out [outer, inner]. A block reduces the elements of one number of the result, in
// float64 and in an order that depends on count alone.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    reduce(ReduceOp op, const T* x, double correction, T* out, int64_t count, int64_t inner) {
  SHARED(double, scratch, [kThreads / kWarp]);
  const int64_t number = blockIdx.x;
  const T* const first = x + number / inner * count * inner + number % inner;
  const auto element = [&](int64_t i) { return static_cast<double>(first[i * inner]); };
  const auto over_all = [&](double start, auto combine, auto term) {
    double value = start;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) value = combine(value, term(element(i)));
    return over_block<kThreads>(value, scratch, combine);
  };
  const auto itself = [](double v) { return v; };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double result = 0;
  switch (op) {
    case ReduceOp::sum:
      result = over_all(0, Plus(), itself);
      break;
    case ReduceOp::mean:
      result = over_all(0, Plus(), itself) / static_cast<double>(count);
      break;
    case ReduceOp::max:
      result = over_all(-kInfinity, Larger(), itself);
      break;
    case ReduceOp::min:
      result = over_all(kInfinity, Smaller(), itself);
      break;
    case ReduceOp::logsumexp: {
      const double max = over_all(-kInfinity, Larger(), itself);
      result = max;
      if (std::isfinite(max))
        result += std::log(over_all(0, Plus(), [&](double v) { return std::exp(v - max); }));
      break;
    }
    case ReduceOp::variance: {
      const double mean = over_all(0, Plus(), itself) / static_cast<double>(count);
      result = over_all(0, Plus(), [&](double v) { return (v - mean) * (v - mean); }) /
               (static_cast<double>(count) - correction);
      break;
    }
    case ReduceOp::kCount:
      break;
  }
  if (threadIdx.x == 0) out[number] = T(result);
}

struct WrappingSum {
  __device__ int32_t operator()(int32_t a, int32_t b) const {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
};

// The same of int32 or uint8 [outer, count, inner], without rounding.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    reduce_integers(ReduceOp op, const T* x, int32_t* out, int64_t count, int64_t inner) {
  SHARED(int32_t, scratch, [kThreads / kWarp]);
  const int64_t number = blockIdx.x;
  const T* const first = x + number / inner * count * inner + number % inner;
  const auto over_all = [&](int32_t start, auto combine) {
    int32_t value = start;
    for (int64_t i = threadIdx.x; i < count; i += kThreads) value = combine(value, int32_t(first[i * inner]));
    return over_block<kThreads>(value, scratch, combine);
  };
  const int32_t result = op == ReduceOp::max   ? over_all(INT32_MIN, Larger())
                         : op == ReduceOp::min ? over_all(INT32_MAX, Smaller())
                                               : over_all(0, WrappingSum());
  if (threadIdx.x == 0) out[number] = result;
}

}  // namespace

template <>
void run_kernels(const call::Reduce& call) {
  if (call.out.elements() == 0) return;
  dispatch(call.x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if constexpr (!std::is_integral_v<T>) {
      launch_kernel(call.name(), reduce<T>, {{static_cast<unsigned>(call.out.elements())}, {kThreads}},
                    call.op, elements_of<const T>(call.x), call.correction, elements_of<T>(call.out),
                    call.x.size(1), call.x.size(2));
    }
  });
}

template <>
void run_kernels(const call::ReduceIntegers& call) {
  if (call.out.elements() == 0) return;
  const auto launch_for = [&](auto tag) {
    using T = decltype(tag);
    launch_kernel(call.name(), reduce_integers<T>, {{static_cast<unsigned>(call.out.elements())}, {kThreads}},
                  call.op, elements_of<const T>(call.x), elements_of<int32_t>(call.out), call.x.size(1),
                  call.x.size(2));
  };
  call.x.dtype() == Dtype::uint8 ? launch_for(uint8_t{}) : launch_for(int32_t{});
}

}  // namespace haze::HAZE_KERNELS

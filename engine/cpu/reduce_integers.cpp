#include <algorithm>
#include <limits>

#include "haze/engine/cpu/grain.h"
#include "haze/engine/ops/reduce.h"

namespace haze {
namespace {

constexpr int64_t kColumnBlock = 128;  // columns that one task reduces together

// Reduces `count` rows of `width` columns, `stride` apart, into out.
template <typename T, typename Combine>
void reduce_columns(const T* x, int64_t count, int64_t stride, int64_t width, int32_t start, Combine combine,
                    int32_t* out) {
  if (width == 1 && stride == 1) {
    int32_t total = start;
    for (int64_t i = 0; i < count; ++i) total = combine(total, static_cast<int32_t>(x[i]));
    *out = total;
    return;
  }
  std::fill_n(out, width, start);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < width; ++j) out[j] = combine(out[j], static_cast<int32_t>(x[i * stride + j]));
  }
}

template <typename T, typename Combine>
void reduce_typed(const Tensor& x, int32_t start, Combine combine, const Tensor& out) {
  const int64_t outer = x.size(0), count = x.size(1), inner = x.size(2);
  const T* from = x.data<T>();
  int32_t* to = out.data<int32_t>();
  const int64_t blocks = (inner + kColumnBlock - 1) / kColumnBlock;
  const int64_t grain = rows_per_task(count * std::min(inner, kColumnBlock));
  parallel_for(outer * blocks, grain, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      const int64_t o = task / blocks, j = task % blocks * kColumnBlock;
      reduce_columns(from + o * count * inner + j, count, inner, std::min(kColumnBlock, inner - j), start,
                     combine, to + o * inner + j);
    }
  });
}

// Modulo 2^32.
constexpr auto kWrappingSum = [](int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
};

}  // namespace

void call::ReduceIntegers::run(Cpu) const {
  using Limits = std::numeric_limits<int32_t>;
  if (x.dtype() == Dtype::uint8) return reduce_typed<uint8_t>(x, 0, kWrappingSum, out);
  switch (op) {
    case ReduceOp::max:
      return reduce_typed<int32_t>(
          x, Limits::min(), [](int32_t a, int32_t b) { return std::max(a, b); }, out);
    case ReduceOp::min:
      return reduce_typed<int32_t>(
          x, Limits::max(), [](int32_t a, int32_t b) { return std::min(a, b); }, out);
    default:
      return reduce_typed<int32_t>(x, 0, kWrappingSum, out);
  }
}

}  // namespace haze

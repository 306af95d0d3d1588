#include "haze/engine/ops/global_norm.h"

#include "haze/engine/cpu/row_blocks.h"
#include "haze/engine/cpu/row_spans.h"

namespace haze {
namespace {

template <typename T>
double sum_of_squares(const Tensor& x) {
  const T* values = x.data<T>();
  return over_blocks(
      x.elements(), 0,
      [&](int64_t i, int64_t n) { return row_spans<T>().sum_square(values + i, n, T{0}, 0); }, plus);
}

}  // namespace

void call::GlobalNorm::run(Cpu) const {
  double total = 0;
  for (const Tensor& x : tensors) {
    total += dispatch_real(x.dtype(), [&](auto tag) { return sum_of_squares<decltype(tag)>(x); });
  }
  *out.data<double>() = std::sqrt(total);
}

}  // namespace haze

#include "haze/engine/ops/sort.h"

#include "haze/engine/checks.h"

namespace haze {
std::pair<Tensor, Tensor> sort(const Tensor& x, bool descending) {
  check_real_or_int32("sort", "x", x);
  checked_axis("sort", x, -1);
  Tensor values(x.shape(), x.dtype(), x.device());
  Tensor indices(x.shape(), Dtype::int32, x.device());
  launch(call::Sort{as_rows(x), descending, as_rows(values), as_rows(indices)});
  return {values, indices};
}

std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k) {
  check_real_or_int32("top_k", "x", x);
  checked_axis("top_k", x, -1);
  if (k < 0 || k > x.size(-1)) {
    fail("top_k: k is {}, it takes 0 to {}, the last extent of x", k, x.size(-1));
  }
  Shape shape = x.shape();
  shape[x.rank() - 1] = k;
  Tensor values(shape, x.dtype(), x.device());
  Tensor indices(shape, Dtype::int32, x.device());
  launch(call::TopK{as_rows(x), as_rows(values), as_rows(indices)});
  return {values, indices};
}

}  // namespace haze

#include "haze/engine/ops/sort.h"

#include "haze/engine/checks.h"

namespace haze {
namespace {

std::pair<Tensor, Tensor> transposed(const std::pair<Tensor, Tensor>& found, int axis) {
  return {contiguous(transpose(found.first, axis, -1)), contiguous(transpose(found.second, axis, -1))};
}

}  // namespace

std::pair<Tensor, Tensor> sort(const Tensor& x, bool descending, int axis) {
  check_floating_or_int32("sort", "x", x);
  if (const int a = checked_axis("sort", x, axis); a != x.rank() - 1) {
    return transposed(sort(transpose(x, a, -1), descending), a);
  }
  Tensor values(x.shape(), x.dtype(), x.device());
  Tensor indices(x.shape(), Dtype::int32, x.device());
  launch(call::Sort{as_rows(x), descending, as_rows(values), as_rows(indices)});
  return {values, indices};
}

std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k, int axis) {
  check_floating_or_int32("top_k", "x", x);
  const int a = checked_axis("top_k", x, axis);
  if (k < 0 || k > x.size(a)) {
    fail("top_k: k is {}, it takes 0 to {}, the extent of axis {} of x", k, x.size(a), axis);
  }
  if (a != x.rank() - 1) return transposed(top_k(transpose(x, a, -1), k), a);
  Shape shape = x.shape();
  shape[x.rank() - 1] = k;
  Tensor values(shape, x.dtype(), x.device());
  Tensor indices(shape, Dtype::int32, x.device());
  launch(call::TopK{as_rows(x), as_rows(values), as_rows(indices)});
  return {values, indices};
}

}  // namespace haze

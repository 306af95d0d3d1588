#include "haze/engine/backend.h"
#include "haze/engine/checks.h"

// Order along an axis: cumulative_sum, sort, top_k.
namespace haze {
namespace {

void check_real_or_int32(const char* operation, const Tensor& x) {
  check_defined(operation, "x", x);
  if (x.dtype() != Dtype::float32 && x.dtype() != Dtype::float64 && x.dtype() != Dtype::int32) {
    fail("{}: x is {}, it takes float32, float64 or int32", operation, name(x.dtype()));
  }
}

}  // namespace

Tensor cumulative_sum(const Tensor& x, int axis) {
  check_real_or_int32("cumulative_sum", x);
  const int resolved = checked_axis("cumulative_sum", x, axis);
  Tensor result(x.shape(), x.dtype(), x.device());
  backend(x.device())
      .cumulative_sum(as_outer_count_inner(x, resolved), as_outer_count_inner(result, resolved));
  return result;
}

std::pair<Tensor, Tensor> sort(const Tensor& x, bool descending) {
  check_real_or_int32("sort", x);
  checked_axis("sort", x, -1);
  Tensor values(x.shape(), x.dtype(), x.device());
  Tensor indices(x.shape(), Dtype::int32, x.device());
  backend(x.device()).sort(as_rows(x), descending, as_rows(values), as_rows(indices));
  return {values, indices};
}

std::pair<Tensor, Tensor> top_k(const Tensor& x, int64_t k) {
  check_real_or_int32("top_k", x);
  checked_axis("top_k", x, -1);
  if (k < 0 || k > x.size(-1)) {
    fail("top_k: k is {}, it takes 0 to {}, the last extent of x", k, x.size(-1));
  }
  Shape shape = x.shape();
  shape[x.rank() - 1] = k;
  Tensor values(shape, x.dtype(), x.device());
  Tensor indices(shape, Dtype::int32, x.device());
  backend(x.device()).top_k(as_rows(x), as_rows(values), as_rows(indices));
  return {values, indices};
}

}  // namespace haze

#include "haze/engine/ops/searchsorted.h"

#include <limits>

#include "haze/engine/checks.h"

namespace haze {

Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right) {
  check_floating_or_int32("searchsorted", "sorted", sorted);
  checked_axis("searchsorted", sorted, -1);
  check_same_dtype("searchsorted", sorted, values);
  if (sorted.size(-1) > std::numeric_limits<int32_t>::max()) {
    fail("searchsorted: rows of {} have more indices than int32", sorted.size(-1));
  }
  Tensor result(values.shape(), Dtype::int32, values.device());
  if (sorted.rank() == 1) {
    const Shape one_row{1, values.elements()};
    launch(call::SearchSorted{as_rows(sorted), reshape(contiguous(values), one_row), right,
                              reshape(result, one_row)});
    return result;
  }
  Shape expected = sorted.shape();
  if (values.rank() == sorted.rank()) expected[sorted.rank() - 1] = values.size(-1);
  if (!(values.shape() == expected)) {
    fail("searchsorted: values have shape {}, they take the leading axes of sorted of shape {}",
         values.shape().to_string(), sorted.shape().to_string());
  }
  launch(call::SearchSorted{as_rows(sorted), as_rows(values), right, as_rows(result)});
  return result;
}

}  // namespace haze

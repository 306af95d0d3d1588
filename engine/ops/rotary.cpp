#include "haze/engine/ops/rotary.h"

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

namespace haze {

Tensor rotary(const Tensor& x, const Tensor& cosine, const Tensor& sine, const Tensor& positions,
              int64_t turned, bool inverse) {
  check_real("rotary", "x", x);
  check_rank("rotary", "x", x, 3);
  const int64_t rows = x.size(0), heads = x.size(1), head_size = x.size(2);
  if (head_size % 2 != 0) fail("rotary: head_size {} is odd, its elements make no pairs", head_size);
  if (turned < 0 || turned > heads) fail("rotary: {} of {} heads cannot be turned", turned, heads);
  for (const auto& [argument, table] : {std::pair("cosine", &cosine), std::pair("sine", &sine)}) {
    check_same_dtype("rotary", x, *table);
    check_rank("rotary", argument, *table, 2);
    check_shape("rotary", argument, *table, {cosine.size(0), head_size / 2});
  }
  check_dtype("rotary", "positions", positions, Dtype::int32);
  check_shape("rotary", "positions", positions, {rows});
  Tensor result(x.shape(), x.dtype(), x.device());
  launch(call::Rotary{unit_last_stride(x), contiguous(cosine), contiguous(sine), contiguous(positions),
                      turned, inverse, result});
  return result;
}

}  // namespace haze

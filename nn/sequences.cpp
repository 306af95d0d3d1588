#include "haze/nn/sequences.h"

#include <algorithm>
#include <limits>

namespace haze {

Sequences Sequences::of_lengths(std::span<const int64_t> lengths) {
  Sequences result;
  result.lengths.assign(lengths.begin(), lengths.end());
  result.count = static_cast<int64_t>(lengths.size());
  for (int64_t length : lengths) {
    if (length < 0) fail("Sequences: length {} is negative", length);
    result.rows += length;
    if (constexpr int64_t most = std::numeric_limits<int32_t>::max(); result.rows > most)
      fail("Sequences: {} rows are more than the {} that int32 offsets can count", result.rows, most);
    result.longest = std::max(result.longest, length);
  }
  result.offsets = Tensor({result.count + 1}, Dtype::int32);
  result.positions = Tensor({result.rows}, Dtype::int32);
  result.index = Tensor({result.rows}, Dtype::int32);
  int32_t* offsets = result.offsets.data<int32_t>();
  int32_t* positions = result.positions.data<int32_t>();
  int32_t* index = result.index.data<int32_t>();
  int32_t row = 0;
  offsets[0] = 0;
  for (int64_t i = 0; i < result.count; ++i) {
    for (int64_t position = 0; position < lengths[i]; ++position, ++row) {
      positions[row] = static_cast<int32_t>(position);
      index[row] = static_cast<int32_t>(i);
    }
    offsets[i + 1] = row;
  }
  return result;
}

}  // namespace haze

#include "haze/nn/sequences.h"

#include <algorithm>
#include <limits>

#include "haze/engine/ops.h"

namespace haze {

Sequences Sequences::of_lengths(std::span<const int64_t> lengths, Device device) {
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
  std::vector<int32_t> offsets{0}, positions, index;
  offsets.reserve(lengths.size() + 1);
  positions.reserve(static_cast<size_t>(result.rows));
  index.reserve(static_cast<size_t>(result.rows));
  for (int64_t i = 0; i < result.count; ++i) {
    for (int64_t position = 0; position < lengths[i]; ++position) {
      positions.push_back(static_cast<int32_t>(position));
      index.push_back(static_cast<int32_t>(i));
    }
    offsets.push_back(static_cast<int32_t>(positions.size()));
  }
  result.offsets = Tensor::from(offsets, {result.count + 1}, device);
  result.positions = Tensor::from(positions, {result.rows}, device);
  result.index = Tensor::from(index, {result.rows}, device);
  return result;
}

Sequences Sequences::to(Device device) const {
  Sequences result = *this;
  for (Tensor* tensor : {&result.offsets, &result.positions, &result.index}) {
    *tensor = haze::to(*tensor, device);
  }
  return result;
}

}  // namespace haze

#include "haze/nn/padding.h"

#include <algorithm>
#include <limits>

namespace haze {
namespace {

// sequence_of: of each row; lengths: rows of each sequence.
Padding padding_of(std::span<const int32_t> sequence_of, const std::vector<int32_t>& lengths, Device device) {
  Padding result;
  result.count = static_cast<int64_t>(lengths.size());
  result.longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  if (constexpr int64_t most = std::numeric_limits<int32_t>::max(); result.count * result.longest > most) {
    fail("attention: {} sequences padded to {} rows are more than {} rows", result.count, result.longest,
         most);
  }
  std::vector<int32_t> next(lengths.size()), slots;
  for (size_t i = 0; i < next.size(); ++i)
    next[i] = static_cast<int32_t>(i) * static_cast<int32_t>(result.longest);
  slots.reserve(sequence_of.size());
  for (const int32_t sequence : sequence_of) slots.push_back(next[static_cast<size_t>(sequence)]++);
  const auto rows = static_cast<int64_t>(slots.size());
  const bool full = rows == result.count * result.longest;
  if (!full) result.lengths = Tensor::from(lengths, {result.count}, device);
  if (!full || !std::is_sorted(slots.begin(), slots.end()))
    result.slots = Tensor::from(slots, {rows}, device);
  return result;
}

}  // namespace

Padding Padding::of(const Sequences& sequences) {
  std::vector<int32_t> sequence_of, lengths;
  sequence_of.reserve(static_cast<size_t>(sequences.rows));
  for (const int64_t length : sequences.lengths) {
    sequence_of.insert(sequence_of.end(), static_cast<size_t>(length), static_cast<int32_t>(lengths.size()));
    lengths.push_back(static_cast<int32_t>(length));
  }
  return padding_of(sequence_of, lengths, sequences.offsets.device());
}

Padding Padding::of_rows(const Tensor& index, int64_t count) {
  const std::vector<int32_t> sequence_of = index.to_vector<int32_t>();
  std::vector<int32_t> lengths(static_cast<size_t>(count));
  for (const int32_t sequence : sequence_of) {
    if (sequence < 0 || sequence >= count) fail("attention: a row of sequence {} of {}", sequence, count);
    ++lengths[static_cast<size_t>(sequence)];
  }
  return padding_of(sequence_of, lengths, index.device());
}

Variable Padding::pad(const Variable& x) const {
  Shape flat = x.shape(), padded{count, longest};
  flat[0] = count * longest;
  for (int axis = 1; axis < x.rank(); ++axis) padded.append(x.size(axis));
  return reshape(slots.defined() ? index_scatter(x, 0, slots, flat) : x, padded);
}

Variable Padding::unpad(const Variable& x) const {
  Shape flat{count * longest};
  for (int axis = 2; axis < x.rank(); ++axis) flat.append(x.size(axis));
  const Variable rows = reshape(x, flat);
  return slots.defined() ? index_select(rows, 0, slots) : rows;
}

}  // namespace haze

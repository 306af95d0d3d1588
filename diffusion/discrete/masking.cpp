#include "haze/diffusion/discrete/masking.h"

#include <algorithm>
#include <numeric>

namespace haze {
namespace {

// Replaces the tokens for which chosen(row, sequence) holds.
template <typename Chosen>
MaskedBatch replace_chosen(const TextBatch& x_0, int32_t mask_id, Chosen&& chosen) {
  const int32_t* ids = x_0.ids.data<int32_t>();
  const int32_t* index = x_0.sequences.index.data<int32_t>();
  std::vector<int32_t> x_t(ids, ids + x_0.sequences.rows), masked, targets;
  for (int64_t row = 0; row < x_0.sequences.rows; ++row) {
    if (!chosen(row, index[row])) continue;
    masked.push_back(static_cast<int32_t>(row));
    targets.push_back(ids[row]);
    x_t[row] = mask_id;
  }
  const auto count = static_cast<int64_t>(masked.size());
  MaskedBatch result;
  result.x_t = Tensor::from(x_t, {x_0.sequences.rows});
  result.masked = Tensor::from(masked, {count});
  result.targets = Tensor::from(targets, {count});
  return result;
}

// Calls body(sequence, first row, length) for every sequence, after a check of its count.
template <typename Body>
void for_each_count(const TextBatch& x_0, std::span<const int64_t> counts, int64_t least, Body&& body) {
  const int32_t* offsets = x_0.sequences.offsets.data<int32_t>();
  for (int64_t i = 0; i < x_0.sequences.count; ++i) {
    const int64_t length = offsets[i + 1] - offsets[i];
    if (counts[i] < least || counts[i] > length) {
      fail("mask_exactly: {} of the {} tokens of sequence {}", counts[i], length, i);
    }
    body(i, offsets[i], length);
  }
}

}  // namespace

MaskedBatch mask_tokens(const TextBatch& x_0, std::span<const double> mask_probability, int32_t mask_id,
                        Generator& generator) {
  return replace_chosen(x_0, mask_id, [&](int64_t, int64_t sequence) {
    return generator.uniform() < mask_probability[sequence];
  });
}

MaskedBatch mask_exactly(const TextBatch& x_0, std::span<const int64_t> counts, int32_t mask_id,
                         Generator& generator) {
  std::vector<uint8_t> chosen(static_cast<size_t>(x_0.sequences.rows));
  for_each_count(x_0, counts, 0, [&](int64_t sequence, int64_t first, int64_t length) {
    // The first of a random order (Fisher and Yates).
    std::vector<int64_t> order(static_cast<size_t>(length));
    std::iota(order.begin(), order.end(), first);
    for (int64_t k = 0; k < counts[sequence]; ++k) {
      std::swap(order[k],
                order[k + static_cast<int64_t>(generator.below(static_cast<uint64_t>(length - k)))]);
      chosen[order[k]] = 1;
    }
  });
  return replace_chosen(x_0, mask_id, [&](int64_t row, int64_t) { return chosen[row] != 0; });
}

MaskedAtProbability mask_exactly_at_probability(const TextBatch& x_0, std::span<const int64_t> counts,
                                                int32_t mask_id, Generator& generator) {
  MaskedAtProbability result;
  // mask_tokens() masks a token where its uniform number lies below p. The k-th smallest of n such numbers is
  // distributed as Beta(k, n - k + 1), whichever tokens have the k smallest.
  std::vector<double> uniforms;
  for (int64_t row = 0; row < x_0.sequences.rows; ++row) uniforms.push_back(generator.uniform());
  for_each_count(x_0, counts, 1, [&](int64_t sequence, int64_t first, int64_t length) {
    std::vector<double> sorted(uniforms.begin() + first, uniforms.begin() + first + length);
    const auto k_th = sorted.begin() + counts[sequence] - 1;
    std::nth_element(sorted.begin(), k_th, sorted.end());
    result.mask_probability.push_back(*k_th);
  });
  result.batch = replace_chosen(x_0, mask_id, [&](int64_t row, int64_t sequence) {
    return uniforms[row] <= result.mask_probability[sequence];
  });
  return result;
}

}  // namespace haze

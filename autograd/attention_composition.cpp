#include "haze/autograd/attention_composition.h"

#include <cmath>
#include <limits>

namespace haze {
namespace {

/// The rows of one sequence in query and key.
struct Rows {
  int64_t batch;
  int64_t first_query, queries;
  int64_t first_key, keys;
};

std::vector<int32_t> numbers(const Tensor& x) {
  return x.defined() ? x.to_vector<int32_t>() : std::vector<int32_t>();
}

std::vector<Rows> sequences_of(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  std::vector<Rows> result;
  if (!options.sequence_offsets.defined()) {
    for (int64_t b = 0; b < query.size(0); ++b) result.push_back({b, 0, query.size(1), 0, key.size(1)});
    return result;
  }
  const std::vector<int32_t> offsets = numbers(options.sequence_offsets);
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    const int64_t first = offsets[i], count = offsets[i + 1] - first;
    result.push_back({0, first, count, first, count});
  }
  return result;
}

/// What attention's dropout multiplies each probability by: 0 or 1 / (1 - p). Its kernels give each row of
/// keys whole counters, of four numbers each.
Tensor dropout_factors(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  const int64_t keys = key.size(1), counters = (keys + 3) / 4;
  const Shape padded{query.size(0), query.size(2), query.size(1), 4 * counters};
  const Tensor factors =
      dropout(ones(padded, query.dtype(), query.device()), options.dropout, options.dropout_position);
  return slice(factors, 3, 0, keys);
}

}  // namespace

SavedAttentionOptions::SavedAttentionOptions(const AttentionOptions& options) : options_(options) {
  const auto save = [&](const char* role, const Tensor& x) {
    if (x.defined()) tensors_.emplace_back(role, x);
  };
  save("key_lengths", options.key_lengths);
  save("block_mask", options.block_mask);
  save("sequence_offsets", options.sequence_offsets);
}

const AttentionOptions& SavedAttentionOptions::read() const {
  for (const Saved& tensor : tensors_) tensor.value();
  return options_;
}

Tensor visible_pairs(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  const std::vector<Rows> sequences = sequences_of(query, key, options);
  const std::vector<int32_t> lengths = numbers(options.key_lengths), blocks = numbers(options.block_mask);
  const auto sees = [&](size_t s, int64_t i, int64_t j) {
    if (options.causal && j > i + sequences[s].keys - sequences[s].queries) return false;
    if (!lengths.empty() && j >= lengths[s]) return false;
    if (blocks.empty()) return true;
    const int64_t block = i / options.block_size * options.block_mask.size(-1) + j / options.block_size;
    return blocks[static_cast<size_t>(block)] != 0;
  };
  const Shape shape{query.size(0), 1, query.size(1), key.size(1)};
  std::vector<uint8_t> visible(static_cast<size_t>(shape.elements()));
  for (size_t s = 0; s < sequences.size(); ++s) {
    const Rows& rows = sequences[s];
    for (int64_t i = 0; i < rows.queries; ++i) {
      const int64_t row = rows.batch * query.size(1) + rows.first_query + i;
      const auto first = visible.begin() + row * key.size(1) + rows.first_key;
      for (int64_t j = 0; j < rows.keys; ++j) first[j] = sees(s, i, j);
    }
  }
  return Tensor::from(visible, shape, query.device());
}

Gradients attention_composition(const Variable& g, const Variable& query, const Variable& key,
                                const Variable& value, const AttentionOptions& options,
                                const std::array<bool, 3>& needed) {
  // [batch, length, heads, head_size] -> [batch, heads, length, head_size], and back
  const auto by_heads = [](const Variable& x) { return transpose(x, 1, 2); };
  const Variable q = by_heads(query), k = by_heads(key), v = by_heads(value), d_output = by_heads(g);
  const double scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(query.size(3)));
  const Tensor masked_score = full({}, -std::numeric_limits<double>::infinity(), q.dtype(), q.device());
  const Tensor visible = visible_pairs(query.value(), key.value(), options);
  const Variable p = softmax(where(visible, matmul(q, transpose(k)) * scale, masked_score));
  // o = (p m) v, with dropout's factors m: v gets (p m)^T g, p gets m (g v^T)
  const Variable m = options.dropout > 0 ? dropout_factors(query.value(), key.value(), options) : Tensor();
  const auto dropped = [&](const Variable& x) { return m.defined() ? x * m : x; };
  Gradients gradients(3);
  if (needed[2]) gradients[2] = by_heads(matmul(transpose(dropped(p)), d_output));
  if (!needed[0] && !needed[1]) return gradients;
  // the scores s q k^T get p (dp - rowsum(dp p))
  const Variable d_p = dropped(matmul(d_output, transpose(v)));
  const Variable d_scores = p * (d_p - sum(d_p * p, {-1}, true)) * scale;
  if (needed[0]) gradients[0] = by_heads(matmul(d_scores, k));
  if (needed[1]) gradients[1] = by_heads(matmul(transpose(d_scores), q));
  return gradients;
}

}  // namespace haze

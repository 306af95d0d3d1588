#include "haze/autograd/attention_composition.h"

#include <cmath>
#include <limits>

namespace haze {
namespace {

/// Which sequence each row belongs to, by offsets [sequences + 1].
std::vector<size_t> sequence_of_rows(const std::vector<int32_t>& offsets) {
  std::vector<size_t> result;
  for (size_t i = 0; i + 1 < offsets.size(); ++i) {
    result.insert(result.end(), static_cast<size_t>(offsets[i + 1] - offsets[i]), i);
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

const AttentionOptions& SavedAttentionOptions::read() const {
  key_lengths_.value();
  block_mask_.value();
  sequence_offsets_.value();
  return options_;
}

Tensor visible_pairs(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  const int64_t batch = query.size(0), queries = query.size(1), keys = key.size(1);
  const auto values_of = [](const Tensor& x) {
    return x.defined() ? x.to_vector<int32_t>() : std::vector<int32_t>();
  };
  const std::vector<int32_t> lengths = values_of(options.key_lengths), blocks = values_of(options.block_mask);
  const std::vector<size_t> sequences = sequence_of_rows(values_of(options.sequence_offsets));
  const auto sees = [&](int64_t b, int64_t i, int64_t j) {
    if (options.causal && j > i + keys - queries) return false;
    if (!lengths.empty() && j >= lengths[static_cast<size_t>(b)]) return false;
    if (!sequences.empty() && sequences[static_cast<size_t>(i)] != sequences[static_cast<size_t>(j)])
      return false;
    if (blocks.empty()) return true;
    const int64_t block = i / options.block_size * options.block_mask.size(1) + j / options.block_size;
    return blocks[static_cast<size_t>(block)] != 0;
  };
  std::vector<uint8_t> visible;
  visible.reserve(static_cast<size_t>(batch * queries * keys));
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t j = 0; j < keys; ++j) visible.push_back(sees(b, i, j));
    }
  }
  return Tensor::from(visible, {batch, 1, queries, keys}, query.device());
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

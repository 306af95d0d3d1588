#include "haze/autograd/attention_composition.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/autograd/rules.h"
#include "haze/engine/ops/attention.h"

namespace haze {
namespace {

/// Scores that the mask of pairs leaves: -infinity where it hides a pair, or the sum of the two.
Variable masked_scores(const Variable& scores, const Tensor& visible, const Tensor& pair_mask) {
  const Tensor hidden = full({}, -std::numeric_limits<double>::infinity(), scores.dtype(), scores.device());
  const Variable seen = where(visible, scores, hidden);
  if (!pair_mask.defined()) return seen;
  return pair_mask.dtype() == Dtype::uint8 ? where(pair_mask, seen, hidden)
                                           : seen + widened(Variable(pair_mask));
}

/// [batch, length, key heads, head_size] -> [batch, heads, length, head_size]: each head of keys for the
/// heads of queries next to each other that share it.
Variable shared_by_heads(const Variable& x, int64_t heads) {
  const int64_t key_heads = x.size(2);
  const Variable repeated = expand(
      unsqueeze(x, 3), {x.size(0), x.size(1), key_heads, heads / std::max<int64_t>(key_heads, 1), x.size(3)});
  return transpose(reshape(repeated, {x.size(0), x.size(1), heads, x.size(3)}), 1, 2);
}

/// The adjoint of shared_by_heads().
Variable summed_over_heads(const Variable& x, int64_t key_heads) {
  const Variable rows = transpose(x, 1, 2);  // [batch, length, heads, head_size]
  const Shape grouped{rows.size(0), rows.size(1), key_heads, rows.size(2) / std::max<int64_t>(key_heads, 1),
                      rows.size(3)};
  return sum(reshape(rows, grouped), {3});
}

/// What attention's dropout multiplies each probability by: 0 or 1 / (1 - p). Its kernels give each row of
/// keys whole counters, of four numbers each.
Tensor dropout_factors(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  const int64_t keys = key.size(1), counters = (keys + 3) / 4;
  const Shape padded{query.size(0), query.size(2), query.size(1), 4 * counters};
  const Tensor factors = dropout(ones(padded, wide_dtype(query.dtype()), query.device()), options.dropout,
                                 options.dropout_position);
  return slice(factors, 3, 0, keys);
}

}  // namespace

SavedAttentionOptions::SavedAttentionOptions(const AttentionOptions& options) : options_(options) {
  const auto save = [&](const char* role, const Tensor& x) {
    if (x.defined()) tensors_.emplace_back(role, x);
  };
  save("key_lengths", options.key_lengths);
  save("block_mask", options.block_mask);
  save("query_offsets", options.query_offsets);
  save("key_offsets", options.key_offsets);
  save("causal_offsets", options.causal_offsets);
  save("pair_mask", options.pair_mask);
  save("random counter", base_operand(options.dropout_position));
}

const AttentionOptions& SavedAttentionOptions::read() const {
  for (const Saved& tensor : tensors_) tensor.value();
  return options_;
}

Tensor visible_pairs(const Tensor& query, const Tensor& key, const AttentionOptions& options) {
  const Tensor& mask = options.block_mask;
  const std::vector<uint8_t> blocks = mask.defined() ? mask.to_vector<uint8_t>() : std::vector<uint8_t>();
  const auto block_sees = [&](int64_t sequence, int64_t i, int64_t j) {
    if (blocks.empty()) return true;
    const int64_t row = i / options.block_size + (mask.rank() == 3 ? sequence * mask.size(1) : 0);
    return blocks[static_cast<size_t>(row * mask.size(-1) + j / options.block_size)] != 0;
  };
  const Shape shape{query.size(0), 1, query.size(1), key.size(1)};
  std::vector<uint8_t> visible(static_cast<size_t>(shape.elements()));
  for (const AttentionSequence& s : sequences_of("attention", {query, key, Tensor(), options, {}})) {
    for (int64_t i = 0; i < s.queries; ++i) {
      const int64_t row = s.batch * query.size(1) + s.first_query + i;
      const auto first = visible.begin() + row * key.size(1) + s.first_key;
      for (int64_t j = 0; j < s.key_end(i + 1); ++j) first[j] = block_sees(s.index, i, j);
    }
  }
  return Tensor::from(visible, shape, query.device());
}

Gradients attention_composition(const Variable& g, const Variable& query, const Variable& key,
                                const Variable& value, const AttentionOptions& options,
                                const std::array<bool, 3>& needed) {
  // [batch, length, heads, head_size] -> [batch, heads, length, head_size], and back
  const auto by_heads = [](const Variable& x) { return transpose(x, 1, 2); };
  const int64_t heads = query.size(2), key_heads = key.size(2);
  const Variable q = by_heads(widened(query)), d_output = by_heads(widened(g));
  const Variable k = shared_by_heads(widened(key), heads), v = shared_by_heads(widened(value), heads);
  const double scale = options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(query.size(3)));
  const Tensor visible = visible_pairs(query.value(), key.value(), options);
  const Variable p = softmax(masked_scores(matmul(q, transpose(k)) * scale, visible, options.pair_mask));
  // o = (p m) v, with dropout's factors m: v gets (p m)^T g, p gets m (g v^T)
  const Variable m = options.dropout > 0 ? dropout_factors(query.value(), key.value(), options) : Tensor();
  const auto dropped = [&](const Variable& x) { return m.defined() ? x * m : x; };
  Gradients gradients(3);
  if (needed[2]) gradients[2] = summed_over_heads(matmul(transpose(dropped(p)), d_output), key_heads);
  if (!needed[0] && !needed[1]) return gradients;
  // the scores s q k^T get p (dp - rowsum(dp p))
  const Variable d_p = dropped(matmul(d_output, transpose(v)));
  const Variable d_scores = p * (d_p - sum(d_p * p, {-1}, true)) * scale;
  if (needed[0]) gradients[0] = by_heads(matmul(d_scores, k));
  if (needed[1]) gradients[1] = summed_over_heads(matmul(transpose(d_scores), q), key_heads);
  return gradients;
}

}  // namespace haze

#include "haze/nn/attention.h"

#include <algorithm>
#include <cmath>

namespace haze {
namespace {

// output(x) under dropout, plus `residual`.
Variable finish_branch(const Linear& output, const Variable& x, double dropout, const ForwardContext& context,
                       const Variable& residual) {
  if (context.rate(dropout) == 0) return output.forward(x, Activation::none, residual);
  const Variable result = context.drop(output.forward(x), dropout);
  return residual.defined() ? result + residual : result;
}

}  // namespace

Variable rows_of(const Variable& x, const Tensor& wanted) {
  return wanted.defined() ? index_select(x, 0, wanted) : x;
}

int64_t AttentionCache::capacity() const {
  return keys_.defined() ? keys_.size(1) : 0;
}

void AttentionCache::grow(int64_t needed, const Tensor& like) {
  constexpr int64_t kSmallest = 16;
  const Shape shape{like.size(0), std::max({needed, 2 * capacity(), kSmallest}), like.size(2), like.size(3)};
  for (Tensor* tensor : {&keys_, &values_}) {
    const Tensor larger(shape, like.dtype(), like.device());
    if (length_ > 0) copy_into(slice(larger, 1, 0, length_), slice(*tensor, 1, 0, length_));
    *tensor = larger;
  }
}

void AttentionCache::append(const Tensor& key, const Tensor& value) {
  if (length_ > 0 && key.size(0) != batch()) {
    fail("AttentionCache: {} sequences go on, the cache holds {}", key.size(0), batch());
  }
  const int64_t needed = length_ + key.size(1);
  if (needed > capacity() || key.size(0) != batch()) grow(needed, key);
  copy_into(slice(keys_, 1, length_, needed), key);
  copy_into(slice(values_, 1, length_, needed), value);
  length_ = needed;
}

void AttentionCache::select(const Tensor& entries) {
  if (!keys_.defined()) return;
  // The unused rows go along: a cache cut to its length would have to grow at the next row.
  keys_ = index_select(keys_, 0, entries);
  values_ = index_select(values_, 0, entries);
}

SelfAttention::SelfAttention(const TransformerConfig& config, Generator& generator, double output_gain)
    : heads_(config.heads),
      dropout_(config.dropout),
      causal_(config.causal),
      qkv_(config.hidden, 3 * config.hidden, generator),
      output_(config.hidden, config.hidden, generator, true, output_gain) {
  add_module("qkv", qkv_);
  add_module("output", output_);
}

Variable SelfAttention::forward(const Variable& x, const Sequences& sequences, const RotaryTable* table,
                                const ForwardContext& context, const Variable& residual, const Tensor& wanted,
                                AttentionCache* cache) const {
  const int64_t rows = x.size(0), hidden = x.size(1);
  const Variable qkv = projected(x, table);
  Variable mixed;
  if (cache) {
    mixed = attend_to_cache(qkv, sequences, context, *cache);
  } else {
    AttentionOptions options;
    options.query_offsets = sequences.offsets;
    options.causal = causal_;
    options.dropout = context.rate(dropout_);
    mixed = self_attention(qkv, options, context.generator);
  }
  return finish_branch(output_, rows_of(reshape(mixed, {rows, hidden}), wanted), dropout_, context, residual);
}

Variable SelfAttention::projected(const Variable& x, const RotaryTable* table) const {
  const int64_t rows = x.size(0), head_size = x.size(1) / heads_;
  Variable qkv = reshape(qkv_.forward(x), {rows, 3 * heads_, head_size});
  if (table) {  // turns query and key
    qkv = rotary(qkv, table->cosine, table->sine, table->positions, 2 * heads_);
  }
  return reshape(qkv, {rows, 3, heads_, head_size});
}

Variable SelfAttention::forward_candidates(const Variable& x, const PastRows& past, const RotaryTable* table,
                                           const ForwardContext& context, const Variable& residual,
                                           const Tensor& wanted) const {
  const int64_t rows = x.size(0), hidden = x.size(1), head_size = hidden / heads_;
  const int64_t sequences = past.keys.size(0), length = past.keys.size(1);
  const Variable qkv = projected(x, table);
  const auto part = [&](int64_t which) {  // [sequences, heads, count, head_size]
    const Shape shape{sequences, rows / sequences, heads_, head_size};
    return permute(reshape(slice(qkv, 1, which, which + 1), shape), {0, 2, 1, 3});
  };
  const Variable query = part(0) * (1 / std::sqrt(static_cast<double>(head_size)));
  const Variable to_past = matmul(query, permute(past.keys, {0, 2, 3, 1}));
  const Variable to_itself = sum(query * part(1), {3}, true);
  const Variable weights = softmax(concat({to_past, to_itself}, 3));
  const Variable mixed = matmul(slice(weights, 3, 0, length), permute(past.values, {0, 2, 1, 3})) +
                         slice(weights, 3, length, length + 1) * part(2);
  const Variable by_row = reshape(permute(mixed, {0, 2, 1, 3}), {rows, hidden});
  return finish_branch(output_, rows_of(by_row, wanted), dropout_, context, residual);
}

Variable SelfAttention::attend_to_cache(const Variable& qkv, const Sequences& sequences,
                                        const ForwardContext& context, AttentionCache& cache) const {
  if (gradients_enabled()) fail("attention: a cache keeps no gradients, use it under NoGradient");
  if (!causal_) fail("attention: only causal attention can use a cache");
  if (sequences.rows != sequences.count * sequences.longest)
    fail("attention: with a cache, all sequences must go on by the same number of rows");
  const Shape shape{sequences.count, sequences.longest, 3, heads_, qkv.size(3)};
  const Tensor batch = reshape(qkv.value(), shape);
  const auto part = [&](int64_t which) {
    return reshape(slice(batch, 2, which, which + 1), {shape[0], shape[1], shape[3], shape[4]});
  };
  cache.append(part(1), part(2));
  AttentionOptions options;
  options.causal = true;
  options.dropout = context.rate(dropout_);
  return attention(part(0), cache.keys(), cache.values(), options, context.generator);
}

GroupedRows GroupedRows::of(const Tensor& index, int64_t count) {
  // A row of no sequence is refused here, by its number.
  index_select(zeros({count}, Dtype::uint8, index.device()), 0, index);
  const auto [sorted, order] = sort(index);
  return {searchsorted(sorted, arange(count + 1, Dtype::int32, index.device())), order, sort(order).second};
}

CrossAttention::CrossAttention(const TransformerConfig& config, Generator& generator, double output_gain)
    : heads_(config.heads),
      dropout_(config.dropout),
      query_(config.hidden, config.hidden, generator),
      key_value_(config.hidden, 2 * config.hidden, generator),
      output_(config.hidden, config.hidden, generator, true, output_gain) {
  add_module("query", query_);
  add_module("key_value", key_value_);
  add_module("output", output_);
}

Variable CrossAttention::keys_of(const Variable& memory) const {
  return reshape(key_value_.forward(memory), {memory.size(0), 2, heads_, query_.weight().size(0) / heads_});
}

Variable CrossAttention::forward(const Variable& x, const GroupedRows& rows, const Variable& keys,
                                 const Tensor& offsets, const ForwardContext& context,
                                 const Variable& residual) const {
  if (rows.offsets.size(0) != offsets.size(0)) {
    fail("attention: {} sequences cannot attend to a memory of {}", rows.offsets.size(0) - 1,
         offsets.size(0) - 1);
  }
  const int64_t hidden = x.size(1);
  const Variable query =
      reshape(query_.forward(rows_of(x, rows.order)), {x.size(0), heads_, hidden / heads_});
  AttentionOptions options;
  options.query_offsets = rows.offsets;
  options.key_offsets = offsets;
  options.dropout = context.rate(dropout_);
  const Variable mixed =
      reshape(cross_attention(query, keys, options, context.generator), {x.size(0), hidden});
  return finish_branch(output_, rows_of(mixed, rows.inverse), dropout_, context, residual);
}

}  // namespace haze

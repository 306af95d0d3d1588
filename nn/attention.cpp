#include "haze/nn/attention.h"

#include <algorithm>
#include <limits>

namespace haze {
namespace {

// Query and key of qkv [rows, 3, heads, head_size] turned by their positions.
Variable with_rotary(const Variable& qkv, const RotaryTable& rotary) {
  const Shape shape{qkv.size(0), qkv.size(2), qkv.size(3)};
  const auto turned = [&](int64_t part) {
    return unsqueeze(apply_rotary(reshape(slice(qkv, 1, part, part + 1), shape), rotary), 1);
  };
  const Variable query = turned(0), key = turned(1);
  return concat({query, key, slice(qkv, 1, 2, 3)}, 1);
}

// output(x) under dropout, plus `residual`.
Variable finish_branch(const Linear& output, const Variable& x, double dropout, const ForwardContext& context,
                       const Variable& residual) {
  if (context.rate(dropout) == 0) return output.forward(x, Activation::none, residual);
  const Variable result = context.drop(output.forward(x), dropout);
  return residual.defined() ? result + residual : result;
}

// Where rows of ragged sequences lie in a padded batch [count, longest].
struct Padding {
  int64_t count = 0, longest = 0;
  Tensor slots;  // int32 [rows]; undefined where the rows are the padded batch as they are

  // `index` int32 [rows] says which of `count` sequences a row belongs to.
  static Padding of(const Tensor& index, int64_t count);
  // [rows, ...] -> [count, longest, ...], zero where there is no row.
  Variable pad(const Variable& x) const;
  // The inverse of pad().
  Variable unpad(const Variable& x) const;
};

Padding Padding::of(const Tensor& index, int64_t count) {
  const std::vector<int32_t> sequence_of = index.to_vector<int32_t>();
  std::vector<int32_t> lengths(static_cast<size_t>(count)), slots;
  slots.reserve(sequence_of.size());
  for (const int32_t sequence : sequence_of) {
    if (sequence < 0 || sequence >= count) fail("attention: a row of sequence {} of {}", sequence, count);
    slots.push_back(lengths[static_cast<size_t>(sequence)]++);
  }
  Padding result;
  result.count = count;
  result.longest = lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
  if (constexpr int64_t most = std::numeric_limits<int32_t>::max(); count * result.longest > most)
    fail("attention: {} sequences padded to {} rows are more than {} rows", count, result.longest, most);
  for (size_t i = 0; i < slots.size(); ++i) slots[i] += sequence_of[i] * static_cast<int32_t>(result.longest);
  const bool dense = static_cast<int64_t>(slots.size()) == count * result.longest &&
                     std::is_sorted(slots.begin(), slots.end());
  if (!dense) result.slots = Tensor::from(slots, index.shape());
  return result;
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

// Lengths of the sequences, int32 [count].
Tensor lengths_of(const Sequences& sequences) {
  return subtract(slice(sequences.offsets, 0, 1, sequences.count + 1),
                  slice(sequences.offsets, 0, 0, sequences.count));
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

Variable SelfAttention::forward(const Variable& x, const Sequences& sequences, const RotaryTable* rotary,
                                const ForwardContext& context, const Variable& residual, const Tensor& wanted,
                                AttentionCache* cache) const {
  const int64_t rows = x.size(0), hidden = x.size(1);
  Variable qkv = reshape(qkv_.forward(x), {rows, 3, heads_, hidden / heads_});
  if (rotary) qkv = with_rotary(qkv, *rotary);
  Variable mixed;
  if (cache) {
    mixed = attend_to_cache(qkv, sequences, context, *cache);
  } else {
    AttentionOptions options;
    options.sequence_offsets = sequences.offsets;
    options.causal = causal_;
    options.dropout = context.rate(dropout_);
    mixed = self_attention(qkv, options, context.generator);
  }
  return finish_branch(output_, rows_of(reshape(mixed, {rows, hidden}), wanted), dropout_, context, residual);
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

void MemoryKeys::select(const Tensor& entries) {
  key = index_select(key, 0, entries);
  value = index_select(value, 0, entries);
  if (lengths.defined()) lengths = index_select(lengths, 0, entries);
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

MemoryKeys CrossAttention::keys_of(const Memory& memory) const {
  const Sequences& sequences = memory.sequences;
  const int64_t rows = sequences.rows, head_size = query_.weight().size(0) / heads_;
  const Variable projected = reshape(key_value_.forward(memory.rows), {rows, 2, heads_, head_size});
  const Padding padding = Padding::of(sequences.index, sequences.count);
  const auto part = [&](int64_t which) {
    return padding.pad(reshape(slice(projected, 1, which, which + 1), {rows, heads_, head_size}));
  };
  return {part(0), part(1), padding.slots.defined() ? lengths_of(sequences) : Tensor()};
}

Variable CrossAttention::forward(const Variable& x, const Tensor& index, const MemoryKeys& memory,
                                 const ForwardContext& context, const Variable& residual) const {
  const int64_t rows = x.size(0), hidden = x.size(1);
  const Padding padding = Padding::of(index, memory.key.size(0));
  const Variable query = padding.pad(reshape(query_.forward(x), {rows, heads_, hidden / heads_}));
  AttentionOptions options;
  options.key_lengths = memory.lengths;
  options.dropout = context.rate(dropout_);
  const Variable mixed =
      padding.unpad(attention(query, memory.key, memory.value, options, context.generator));
  return finish_branch(output_, reshape(mixed, {rows, hidden}), dropout_, context, residual);
}

}  // namespace haze

#include "haze/engine/ops/attention.h"

#include <algorithm>
#include <tuple>

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_inputs(const char* operation, const Tensor& query, const Tensor& key, const Tensor& value) {
  for (const auto& [argument, tensor] :
       {std::pair("query", &query), std::pair("key", &key), std::pair("value", &value)}) {
    check_floating(operation, argument, *tensor);
    check_rank(operation, argument, *tensor, 4);
    check_same_dtype(operation, query, *tensor);
  }
  check_shape(operation, "key", key, {query.size(0), key.size(1), key.size(2), query.size(3)});
  check_shape(operation, "value", value, key.shape());
  const int64_t heads = query.size(2), key_heads = key.size(2);
  if (key_heads == 0 ? heads != 0 : heads % key_heads != 0)
    fail("{}: {} heads of keys do not divide {} heads of queries", operation, key_heads, heads);
  if (query.size(3) == 0) fail("{}: the head size is 0", operation);
}

// A dense copy of an operand of int32; undefined stays undefined.
Tensor checked_numbers(const char* operation, const char* argument, const Tensor& x, int64_t count) {
  if (!x.defined()) return x;
  check_dtype(operation, argument, x, Dtype::int32);
  check_shape(operation, argument, x, {count});
  return contiguous(x);
}

void check_ragged(const char* operation, const Tensor& query, const Tensor& key,
                  const AttentionOptions& options) {
  check_rank(operation, "query_offsets", options.query_offsets, 1);
  if (options.query_offsets.elements() == 0) fail("{}: query_offsets are empty", operation);
  if (query.size(0) != 1) {
    fail("{}: query_offsets take queries and keys [1, rows, ...], query has shape {}", operation,
         query.shape().to_string());
  }
  if (!options.key_offsets.defined() && key.size(1) != query.size(1)) {
    fail("{}: without key_offsets, {} rows of queries cannot look at {} rows of keys", operation,
         query.size(1), key.size(1));
  }
}

Tensor checked_block_mask(const char* operation, const Tensor& query, const Tensor& key,
                          const AttentionOptions& options, int64_t sequences) {
  const Tensor& mask = options.block_mask;
  const int64_t size = options.block_size;
  if (size < 1) fail("{}: block_mask needs a block_size of at least 1", operation);
  check_dtype(operation, "block_mask", mask, Dtype::uint8);
  if (mask.rank() != 3) check_rank(operation, "block_mask", mask, 2);
  // The host does not know the longest sequence of a ragged batch.
  const bool ragged = options.query_offsets.defined();
  const int64_t query_blocks = ragged ? mask.size(-2) : blocks_of(query.size(1), size);
  const int64_t key_blocks = ragged ? mask.size(-1) : blocks_of(key.size(1), size);
  check_shape(
      operation, "block_mask", mask,
      mask.rank() == 3 ? Shape{sequences, query_blocks, key_blocks} : Shape{query_blocks, key_blocks});
  return contiguous(mask);
}

Tensor checked_pair_mask(const char* operation, const Tensor& query, const Tensor& key, const Tensor& mask) {
  if (mask.dtype() != Dtype::uint8) check_dtype(operation, "pair_mask", mask, query.dtype());
  const Shape pairs{query.size(0), query.size(2), query.size(1), key.size(1)};
  if (!(broadcast_shape(mask.shape(), pairs, operation) == pairs)) {
    fail("{}: pair_mask has shape {}, which does not broadcast to {}", operation, mask.shape().to_string(),
         pairs.to_string());
  }
  return expand(mask, pairs);
}

AttentionOptions checked_options(const char* operation, const Tensor& query, const Tensor& key,
                                 const AttentionOptions& options) {
  AttentionOptions result = options;
  if (!(options.scale >= 0)) fail("{}: scale {} is negative", operation, options.scale);
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail("{}: dropout {} is not in [0, 1)", operation, options.dropout);
  const bool ragged = options.query_offsets.defined();
  if (ragged) check_ragged(operation, query, key, options);
  if (options.key_offsets.defined() && !ragged) fail("{}: key_offsets need query_offsets", operation);
  if (options.causal_offsets.defined() && !options.causal) fail("{}: causal_offsets need causal", operation);
  const int64_t sequences = ragged ? options.query_offsets.elements() - 1 : query.size(0);
  const auto numbers = [&](const char* argument, const Tensor& x, int64_t count) {
    return checked_numbers(operation, argument, x, count);
  };
  result.query_offsets = numbers("query_offsets", options.query_offsets, sequences + 1);
  result.key_offsets = numbers("key_offsets", options.key_offsets, sequences + 1);
  result.causal_offsets = numbers("causal_offsets", options.causal_offsets, sequences);
  result.key_lengths = numbers("key_lengths", options.key_lengths, sequences);
  if (options.block_mask.defined())
    result.block_mask = checked_block_mask(operation, query, key, options, sequences);
  if (options.pair_mask.defined())
    result.pair_mask = checked_pair_mask(operation, query, key, options.pair_mask);
  return result;
}

double share_seen(const Tensor& mask) {
  const std::vector<uint8_t> values = mask.to_vector<uint8_t>();
  const auto zeros = std::count(values.begin(), values.end(), uint8_t{0});
  return values.empty() ? 0 : 1 - static_cast<double>(zeros) / static_cast<double>(values.size());
}

// Pairs of a query and a key that it sees, for one head. A block mask counts by the share of its blocks that
// are seen, a mask of pairs does not count.
double visible_pairs(const char* operation, const call::Attention& a) {
  if (a.query.device() != Device::cpu) {  // offsets and masks there are not for the host: all pairs
    return static_cast<double>(a.query.size(0)) * static_cast<double>(a.query.size(1)) *
           static_cast<double>(a.key.size(1));
  }
  double pairs = 0;
  for (const AttentionSequence& sequence : sequences_of(operation, a)) {
    for (int64_t i = 0; i < sequence.queries; ++i) pairs += static_cast<double>(sequence.key_end(i + 1));
  }
  return a.options.block_mask.defined() ? pairs * share_seen(a.options.block_mask) : pairs;
}

// Of one product of attention, such as query key^T, over the pairs that are seen.
double product_flops(const char* operation, const call::Attention& a) {
  return 2 * visible_pairs(operation, a) * static_cast<double>(a.query.size(2) * a.query.size(3));
}

}  // namespace

// Sequences end to end have as many rows as queries, and no length in common.
Shape call::Attention::extents() const {
  if (options.query_offsets.defined()) return {query.size(1), query.size(2), query.size(3)};
  return {query.size(0), query.size(1), key.size(1), query.size(2), query.size(3)};
}

double call::Attention::flops() const {
  constexpr double kProducts = 2;  // scores, and their sum of values
  return kProducts * product_flops(name(), *this);
}

double call::AttentionGradient::flops() const {
  constexpr double kProducts = 5;  // the scores again, and the gradients of weights, query, key and value
  return kProducts * product_flops(name(), forward);
}

AttentionResult attention(const Tensor& query, const Tensor& key, const Tensor& value,
                          const AttentionOptions& options) {
  check_inputs("attention", query, key, value);
  const AttentionOptions checked = checked_options("attention", query, key, options);
  const Shape rows{query.size(0), query.size(2), query.size(1)};
  const Dtype statistics = wide_dtype(query.dtype());
  const AttentionResult result{Tensor(query.shape(), query.dtype(), query.device()),
                               Tensor(rows, statistics, query.device()),
                               Tensor(rows, statistics, query.device())};
  launch(call::Attention{unit_last_stride(query), unit_last_stride(key), unit_last_stride(value), checked,
                         result});
  return result;
}

AttentionGradient attention_gradient(const Tensor& g, const Tensor& query, const Tensor& key,
                                     const Tensor& value, const AttentionResult& saved,
                                     const AttentionOptions& options, const AttentionGradient& into) {
  check_inputs("attention_gradient", query, key, value);
  check_same_dtype("attention_gradient", query, g);
  check_shape("attention_gradient", "g", g, query.shape());
  const AttentionOptions checked = checked_options("attention_gradient", query, key, options);
  const Shape rows{query.size(0), query.size(2), query.size(1)};
  check_same_dtype("attention_gradient", query, saved.output);
  check_shape("attention_gradient", "the saved output", saved.output, query.shape());
  for (const auto& [argument, tensor] :
       {std::pair("the saved row_max", &saved.row_max), std::pair("the saved row_sum", &saved.row_sum)}) {
    check_dtype("attention_gradient", argument, *tensor, wide_dtype(query.dtype()));
    check_shape("attention_gradient", argument, *tensor, rows);
  }
  const AttentionResult dense_saved{unit_last_stride(saved.output), contiguous(saved.row_max),
                                    contiguous(saved.row_sum)};
  AttentionGradient result = into;
  for (const auto& [target, input] :
       {std::pair(&result.query, &query), std::pair(&result.key, &key), std::pair(&result.value, &value)}) {
    if (!target->defined()) *target = Tensor(input->shape(), input->dtype(), input->device());
    check_shape("attention_gradient", "a target", *target, input->shape());
    check_same_dtype("attention_gradient", query, *target);
    if (target->size(-1) > 1 && target->stride(-1) != 1)
      fail("attention_gradient: a target's last stride must be 1");
    for (const Tensor* x : {&g, &query, &key, &value, &saved.output, &saved.row_max, &saved.row_sum}) {
      if (overlap(*x, *target)) fail("attention_gradient: a target overlaps an operand");
    }
  }
  for (const auto& [a, b] : {std::pair(&result.query, &result.key), std::pair(&result.query, &result.value),
                             std::pair(&result.key, &result.value)}) {
    const bool same = a->storage() == b->storage() && a->offset() == b->offset();
    if (same && a->elements() > 0) fail("attention_gradient: two targets are the same tensor");
  }
  launch(call::AttentionGradient{
      unit_last_stride(g),
      {unit_last_stride(query), unit_last_stride(key), unit_last_stride(value), checked, dense_saved},
      result});
  return result;
}

uint64_t attention_dropout_counters(const Tensor& query, const Tensor& key) {
  check_rank("attention_dropout_counters", "query", query, 4);
  check_rank("attention_dropout_counters", "key", key, 4);
  return static_cast<uint64_t>(query.size(0) * query.size(1) * query.size(2) * ((key.size(1) + 3) / 4));
}

}  // namespace haze

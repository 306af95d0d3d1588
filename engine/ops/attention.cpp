#include "haze/engine/ops/attention.h"

#include <algorithm>

#include "haze/engine/checks.h"

namespace haze {
namespace {

Tensor unit_last_stride(const Tensor& x) {
  return x.size(-1) == 1 || x.stride(-1) == 1 ? x : clone(x);
}

void check_inputs(const char* operation, const Tensor& query, const Tensor& key, const Tensor& value) {
  for (const auto& [argument, tensor] :
       {std::pair("query", &query), std::pair("key", &key), std::pair("value", &value)}) {
    check_real(operation, argument, *tensor);
    check_rank(operation, argument, *tensor, 4);
    check_same_dtype(operation, query, *tensor);
  }
  check_shape(operation, "key", key, {query.size(0), key.size(1), query.size(2), query.size(3)});
  check_shape(operation, "value", value, key.shape());
  if (query.size(3) == 0) fail("{}: the head size is 0", operation);
}

void check_offsets(const char* operation, const Tensor& query, const Tensor& key, const Tensor& offsets) {
  check_dtype(operation, "sequence_offsets", offsets, Dtype::int32);
  check_rank(operation, "sequence_offsets", offsets, 1);
  if (offsets.elements() == 0) fail("{}: sequence_offsets are empty", operation);
  if (query.size(0) != 1 || key.size(0) != 1 || key.size(1) != query.size(1)) {
    fail("{}: sequence_offsets take queries and keys [1, rows, ...]; query has shape {}, key {}", operation,
         query.shape().to_string(), key.shape().to_string());
  }
}

AttentionOptions checked_options(const char* operation, const Tensor& query, const Tensor& key,
                                 const AttentionOptions& options) {
  AttentionOptions result = options;
  if (!(options.scale >= 0)) fail("{}: scale {} is negative", operation, options.scale);
  if (!(options.dropout >= 0 && options.dropout < 1))
    fail("{}: dropout {} is not in [0, 1)", operation, options.dropout);
  if (options.sequence_offsets.defined()) {
    check_offsets(operation, query, key, options.sequence_offsets);
    if (options.key_lengths.defined() || options.block_mask.defined()) {
      fail("{}: sequence_offsets cannot be combined with key_lengths or block_mask", operation);
    }
    result.sequence_offsets = contiguous(options.sequence_offsets);
  }
  if (options.key_lengths.defined()) {
    check_dtype(operation, "key_lengths", options.key_lengths, Dtype::int32);
    check_shape(operation, "key_lengths", options.key_lengths, {query.size(0)});
    result.key_lengths = contiguous(options.key_lengths);
  }
  if (options.block_mask.defined()) {
    if (options.block_size < 1) fail("{}: block_mask needs a block_size of at least 1", operation);
    const auto blocks = [&](int64_t length) {
      return (length + options.block_size - 1) / options.block_size;
    };
    check_dtype(operation, "block_mask", options.block_mask, Dtype::uint8);
    check_shape(operation, "block_mask", options.block_mask, {blocks(query.size(1)), blocks(key.size(1))});
    result.block_mask = contiguous(options.block_mask);
  }
  return result;
}

// Pairs of a query and a key that it sees, of one sequence; keys from visible_keys on are padding.
double visible_pairs(int64_t queries, int64_t keys, int64_t visible_keys, bool causal) {
  if (!causal) return static_cast<double>(queries * visible_keys);
  int64_t pairs = 0;
  for (int64_t i = 0; i < queries; ++i) {
    pairs += std::clamp<int64_t>(i + 1 + keys - queries, 0, std::max<int64_t>(visible_keys, 0));
  }
  return static_cast<double>(pairs);
}

double share_of_ones(const Tensor& mask) {
  const std::vector<uint8_t> values = mask.to_vector<uint8_t>();
  const auto ones = std::count(values.begin(), values.end(), uint8_t{1});
  return static_cast<double>(ones) / static_cast<double>(std::max<size_t>(values.size(), 1));
}

// Of all sequences, for one head. A block mask counts by the share of its blocks that are seen.
double visible_pairs(const call::Attention& a) {
  const AttentionOptions& options = a.options;
  double pairs = 0;
  if (options.sequence_offsets.defined()) {
    const std::vector<int32_t> offsets = options.sequence_offsets.to_vector<int32_t>();
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
      const int64_t length = offsets[i + 1] - offsets[i];
      pairs += visible_pairs(length, length, length, options.causal);
    }
    return pairs;
  }
  std::vector<int32_t> lengths(static_cast<size_t>(a.query.size(0)), static_cast<int32_t>(a.key.size(1)));
  if (options.key_lengths.defined()) lengths = options.key_lengths.to_vector<int32_t>();
  for (int32_t length : lengths) {
    pairs += visible_pairs(a.query.size(1), a.key.size(1), length, options.causal);
  }
  return options.block_mask.defined() ? pairs * share_of_ones(options.block_mask) : pairs;
}

// Of one product of attention, such as query key^T, over the pairs that are seen.
double product_flops(const call::Attention& a) {
  return 2 * visible_pairs(a) * static_cast<double>(a.query.size(2) * a.query.size(3));
}

}  // namespace

// Sequences end to end have as many rows as queries, and no length in common.
Shape call::Attention::extents() const {
  if (options.sequence_offsets.defined()) return {query.size(1), query.size(2), query.size(3)};
  return {query.size(0), query.size(1), key.size(1), query.size(2), query.size(3)};
}

double call::Attention::flops() const {
  constexpr double kProducts = 2;  // scores, and their sum of values
  return kProducts * product_flops(*this);
}

double call::AttentionGradient::flops() const {
  constexpr double kProducts = 5;  // the scores again, and the gradients of weights, query, key and value
  return kProducts * product_flops(forward);
}

AttentionResult attention(const Tensor& query, const Tensor& key, const Tensor& value,
                          const AttentionOptions& options) {
  check_inputs("attention", query, key, value);
  const AttentionOptions checked = checked_options("attention", query, key, options);
  const AttentionResult result{
      Tensor(query.shape(), query.dtype(), query.device()),
      Tensor({query.size(0), query.size(2), query.size(1)}, query.dtype(), query.device())};
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
  check_same_dtype("attention_gradient", query, saved.output);
  check_shape("attention_gradient", "the saved output", saved.output, query.shape());
  check_same_dtype("attention_gradient", query, saved.logsumexp);
  check_shape("attention_gradient", "the saved logsumexp", saved.logsumexp,
              {query.size(0), query.size(2), query.size(1)});
  const AttentionResult dense_saved{unit_last_stride(saved.output), contiguous(saved.logsumexp)};
  AttentionGradient result = into;
  for (const auto& [target, input] :
       {std::pair(&result.query, &query), std::pair(&result.key, &key), std::pair(&result.value, &value)}) {
    if (!target->defined()) *target = Tensor(input->shape(), input->dtype(), input->device());
    check_shape("attention_gradient", "a target", *target, input->shape());
    check_same_dtype("attention_gradient", query, *target);
    if (target->size(-1) > 1 && target->stride(-1) != 1)
      fail("attention_gradient: a target's last stride must be 1");
    for (const Tensor* x : {&g, &query, &key, &value, &saved.output, &saved.logsumexp}) {
      if (overlap(*x, *target)) fail("attention_gradient: a target overlaps an operand");
    }
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

#include <algorithm>

#include "haze/engine/ops/attention.h"

namespace haze {
namespace {

using Numbers = std::vector<int32_t>;

Numbers read(const Tensor& x) {
  return x.defined() ? x.to_vector<int32_t>() : Numbers();
}

void check_offsets(const char* operation, const char* argument, const Numbers& offsets, int64_t rows) {
  if (offsets.front() != 0 || offsets.back() != rows || !std::is_sorted(offsets.begin(), offsets.end()))
    fail("{}: {} must rise from 0 to {}, the number of rows", operation, argument, rows);
}

// One an entry of the batch.
std::vector<AttentionSequence> batch_entries(const call::Attention& call) {
  std::vector<AttentionSequence> result;
  const int64_t queries = call.query.size(1), keys = call.key.size(1);
  for (int64_t b = 0; b < call.query.size(0); ++b) result.push_back({b, b, 0, queries, 0, keys, keys, 0});
  return result;
}

std::vector<AttentionSequence> ragged(const char* operation, const call::Attention& call) {
  const Numbers of_queries = read(call.options.query_offsets);
  const Numbers of_keys = call.options.key_offsets.defined() ? read(call.options.key_offsets) : of_queries;
  check_offsets(operation, "query_offsets", of_queries, call.query.size(1));
  check_offsets(operation, "key_offsets", of_keys, call.key.size(1));
  std::vector<AttentionSequence> result;
  for (size_t s = 0; s + 1 < of_queries.size(); ++s) {
    const int64_t keys = of_keys[s + 1] - of_keys[s];
    result.push_back({static_cast<int64_t>(s), 0, of_queries[s], of_queries[s + 1] - of_queries[s],
                      of_keys[s], keys, keys, 0});
  }
  return result;
}

void check_blocks(const char* operation, const AttentionSequence& sequence, const AttentionOptions& options) {
  const int64_t size = options.block_size;
  if (blocks_of(sequence.queries, size) > options.block_mask.size(-2) ||
      blocks_of(sequence.keys, size) > options.block_mask.size(-1)) {
    fail("{}: block_mask in blocks of {} is too small for sequence {} with {} queries and {} keys", operation,
         size, sequence.index, sequence.queries, sequence.keys);
  }
}

}  // namespace

std::vector<AttentionSequence> sequences_of(const char* operation, const call::Attention& call) {
  const AttentionOptions& options = call.options;
  const Numbers lengths = read(options.key_lengths), causal_offsets = read(options.causal_offsets);
  std::vector<AttentionSequence> result =
      options.query_offsets.defined() ? ragged(operation, call) : batch_entries(call);
  for (AttentionSequence& sequence : result) {
    const auto s = static_cast<size_t>(sequence.index);
    // Without causal, the first query already sees every key.
    sequence.causal_offset = options.causal ? sequence.keys - sequence.queries : sequence.keys;
    if (!causal_offsets.empty()) sequence.causal_offset = causal_offsets[s];
    if (options.block_mask.defined()) check_blocks(operation, sequence, options);
    if (lengths.empty()) continue;
    if (lengths[s] < 0 || lengths[s] > sequence.keys)
      fail("{}: key length {} is not in 0..{}", operation, lengths[s], sequence.keys);
    sequence.visible_keys = lengths[s];
  }
  return result;
}

}  // namespace haze

#include "haze/engine/cuda/attention_sequences.h"
#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"

namespace haze::HAZE_KERNELS {
namespace {

constexpr unsigned kThreads = 256;

/// What the sequences of a call are computed from. Pointers may be null.
struct SequenceNumbers {
  const int32_t *query_offsets, *key_offsets, *key_lengths, *causal_offsets;
  int64_t count, queries, keys;  // rows of an entry of the batch
  bool causal;
  int64_t block_size, query_blocks, key_blocks;  // of the mask; a size of 0 without one
};

struct SequenceRefusals {
  Refuse query_offsets, key_offsets, blocks, key_length;

  explicit SequenceRefusals(const char* operation)
      : query_offsets(operation,
                      "{operation}: query_offsets must rise from 0 to {limit}, the number of rows"),
        key_offsets(operation, "{operation}: key_offsets must rise from 0 to {limit}, the number of rows"),
        blocks(operation,
               "{operation}: block_mask in blocks of {number} is too small for sequence {position} with "
               "{value} queries and {limit} keys"),
        key_length(operation, "{operation}: key length {value} is not in 0..{limit}") {}
};

/// Whether entry s of `count` + 1 offsets is as it should be; refuses it where it is not.
__device__ bool checked_offset(const int32_t* offsets, int64_t s, int64_t count, int64_t rows,
                               const Refuse& refuse) {
  const bool first = s > 0 || offsets[0] == 0,
             next = s == count ? offsets[s] == rows : offsets[s] <= offsets[s + 1];
  if (!first || !next) refuse({.limit = rows});
  return first && next && offsets[s] >= 0 && offsets[s] <= rows && (s == count || offsets[s + 1] <= rows);
}

/// The sequence with number s, whose offsets are as they should be. One that is refused sees no keys.
__device__ AttentionSequence sequence_at(const SequenceNumbers& of, const SequenceRefusals& refuse,
                                         int64_t s) {
  AttentionSequence sequence{s, s, 0, of.queries, 0, of.keys, of.keys, 0};
  if (of.query_offsets) {
    sequence.batch = 0;
    sequence.first_query = of.query_offsets[s];
    sequence.queries = of.query_offsets[s + 1] - of.query_offsets[s];
    sequence.first_key = of.key_offsets[s];
    sequence.keys = sequence.visible_keys = of.key_offsets[s + 1] - of.key_offsets[s];
  }
  // Without causal, the first query already sees every key.
  sequence.causal_offset = of.causal ? sequence.keys - sequence.queries : sequence.keys;
  if (of.causal_offsets) sequence.causal_offset = of.causal_offsets[s];
  if (of.block_size > 0 && (blocks_of(sequence.queries, of.block_size) > of.query_blocks ||
                            blocks_of(sequence.keys, of.block_size) > of.key_blocks)) {
    refuse.blocks({sequence.queries, s, sequence.keys, static_cast<double>(of.block_size)});
    sequence.visible_keys = 0;
  } else if (of.key_lengths) {
    sequence.visible_keys = of.key_lengths[s];
    if (sequence.visible_keys < 0 || sequence.visible_keys > sequence.keys) {
      refuse.key_length({.value = sequence.visible_keys, .limit = sequence.keys});
      sequence.visible_keys = 0;
    }
  }
  return sequence;
}

/// In place of sequence s where an offset is refused: the first has all rows, and sees no keys. So all
/// results are written, and once.
__device__ AttentionSequence nothing_seen(const SequenceNumbers& of, int64_t s) {
  return s == 0 ? AttentionSequence{0, 0, 0, of.queries, 0, of.keys, 0, 0}
                : AttentionSequence{s, 0, of.queries, 0, of.keys, 0, 0, 0};
}

/// One block. A thread has every kThreads-th sequence; there is one offset more than sequences.
__global__ void __launch_bounds__(kThreads)
    find_sequences(SequenceNumbers of, SequenceRefusals refuse, AttentionSequence* sequences) {
  bool fits = true;
  for (int64_t s = threadIdx.x; of.query_offsets && s <= of.count; s += kThreads) {
    fits = checked_offset(of.query_offsets, s, of.count, of.queries, refuse.query_offsets) &&
           checked_offset(of.key_offsets, s, of.count, of.keys, refuse.key_offsets) && fits;
  }
  const bool all_fit = __syncthreads_and(fits);
  for (int64_t s = threadIdx.x; s < of.count || s == 0; s += kThreads) {
    sequences[s] = all_fit && s < of.count ? sequence_at(of, refuse, s) : nothing_seen(of, s);
  }
}

}  // namespace

Storage sequences_on_device(const char* operation, const call::Attention& call) {
  const AttentionOptions& options = call.options;
  const bool ragged = options.query_offsets.defined(), blocks = options.block_mask.defined();
  const Tensor& key_offsets = options.key_offsets.defined() ? options.key_offsets : options.query_offsets;
  const SequenceNumbers numbers{.query_offsets = elements_of<const int32_t>(options.query_offsets),
                                .key_offsets = elements_of<const int32_t>(key_offsets),
                                .key_lengths = elements_of<const int32_t>(options.key_lengths),
                                .causal_offsets = elements_of<const int32_t>(options.causal_offsets),
                                .count = ragged ? options.query_offsets.elements() - 1 : call.query.size(0),
                                .queries = call.query.size(1),
                                .keys = call.key.size(1),
                                .causal = options.causal,
                                .block_size = blocks ? options.block_size : 0,
                                .query_blocks = blocks ? options.block_mask.size(-2) : 0,
                                .key_blocks = blocks ? options.block_mask.size(-1) : 0};
  const Storage sequences =
      allocate(static_cast<size_t>(numbers.count + 1) * sizeof(AttentionSequence), call.query.device());
  launch_kernel(operation, find_sequences, {{1}, {kThreads}}, numbers, SequenceRefusals(operation),
                static_cast<AttentionSequence*>(sequences.data()));
  return sequences;
}

}  // namespace haze::HAZE_KERNELS

#pragma once

#include <algorithm>
#include <vector>

#include "haze/engine/call.h"
#include "haze/engine/host_device.h"
#include "haze/engine/ops.h"
#include "haze/engine/ops/random.h"

namespace haze::call {

/// query, key and value have unit stride on the last axis. The tensors of `options` are contiguous, but for
/// the mask of pairs, which is expanded to [batch, heads, queries, keys]. The kernel checks the values of
/// offsets and lengths.
struct Attention {
  const char* name() const { return "attention"; }
  Tensor query;       // [batch, queries, heads, head_size], floating
  Tensor key, value;  // [batch, keys, key_heads, head_size]
  AttentionOptions options;
  AttentionResult out;

  Shape extents() const;
  double flops() const;
  void each_operand(auto&& f) const {
    f(Use::read, "query", query), f(Use::read, "key", key), f(Use::read, "value", value);
    f(Use::read, "causal_offsets", options.causal_offsets), f(Use::read, "key_lengths", options.key_lengths);
    f(Use::read, "query_offsets", options.query_offsets), f(Use::read, "key_offsets", options.key_offsets);
    f(Use::read, "block_mask", options.block_mask), f(Use::read, "pair_mask", options.pair_mask);
    f(Use::read, "the random counter", base_operand(options.dropout_position));
    f(Use::write, "the result", out.output);
    f(Use::write, "row_max", out.row_max), f(Use::write, "row_sum", out.row_sum);
  }
  void run(Cpu) const;
};

struct AttentionGradient {
  const char* name() const { return "attention_gradient"; }
  Tensor g;                     // like forward.out.output
  Attention forward;            // with its results
  haze::AttentionGradient out;  // like query, key and value, with unit stride on the last axis

  Shape extents() const { return forward.extents(); }
  double flops() const;
  void each_operand(auto&& f) const {
    f(Use::read, "g", g);
    forward.each_operand([&](Use, const char* operand, const Tensor& x) { f(Use::read, operand, x); });
    f(Use::write, "the gradient of query", out.query), f(Use::write, "the gradient of key", out.key);
    f(Use::write, "the gradient of value", out.value);
  }
  void run(Cpu) const;
};

}  // namespace haze::call

namespace haze {

/// A sequence of a call: its rows, and which keys its queries may see at most.
struct AttentionSequence {
  int64_t index, batch;          // its number, and the entry of the batch that holds it
  int64_t first_query, queries;  // rows
  int64_t first_key, keys;       // rows
  int64_t visible_keys;          // keys from there on are padding
  int64_t causal_offset;         // query i sees keys up to i + causal_offset

  /// How many keys the queries before `query_end` see at most.
  HAZE_HOST_DEVICE int64_t key_end(int64_t query_end) const {
    return std::clamp<int64_t>(query_end + causal_offset, 0, visible_keys);
  }
};

/// Blocks of `size` positions, the last of which may be shorter.
HAZE_HOST_DEVICE inline int64_t blocks_of(int64_t positions, int64_t size) {
  return positions / size + (positions % size != 0);
}

/// The sequences of a call, read by the host. Throws Error naming `operation` where offsets or lengths do not
/// fit the rows.
std::vector<AttentionSequence> sequences_of(const char* operation, const call::Attention& call);

}  // namespace haze

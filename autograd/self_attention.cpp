#include "haze/autograd/ops.h"
#include "haze/autograd/rules.h"

namespace haze {
namespace {

// Part 0, 1 or 2 (query, key, value) of [rows, 3, heads, head_size], as attention takes it: [1, rows, heads,
// head_size].
Tensor part(const Tensor& qkv, int64_t which) {
  const Tensor one = slice(qkv, 1, which, which + 1);
  return transpose(one, 0, 1);
}

}  // namespace

Variable self_attention(const Variable& qkv, AttentionOptions options, Generator* generator) {
  if (qkv.rank() != 4 || qkv.size(1) != 3) {
    fail("self_attention: qkv has shape {}, it takes [rows, 3, heads, head_size]", qkv.shape().to_string());
  }
  const Tensor query = part(qkv.value(), 0), key = part(qkv.value(), 1), value = part(qkv.value(), 2);
  if (options.dropout > 0) {
    if (!generator) fail("self_attention: dropout needs a generator");
    options.dropout_position = generator->reserve(attention_dropout_counters(query, key));
  }
  const AttentionResult result = attention(query, key, value, options);
  const Tensor output = reshape(result.output, {qkv.size(0), qkv.size(2), qkv.size(3)});
  const KeptPosition kept(options.dropout_position);
  return Tape::record("self_attention", output, {qkv}, [=](const Variable& g) {
    kept.check_unchanged("self_attention");
    if (gradients_enabled())
      fail("self_attention: second derivatives through fused attention are not supported");
    const Tensor gradient(qkv.shape(), qkv.dtype());
    attention_gradient(unsqueeze(g.value(), 0), query, key, value, result, options,
                       {part(gradient, 0), part(gradient, 1), part(gradient, 2)});
    return Gradients{gradient};
  });
}

}  // namespace haze

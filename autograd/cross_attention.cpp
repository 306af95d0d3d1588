#include "haze/autograd/attention_composition.h"
#include "haze/autograd/rules.h"

namespace haze {
namespace {

// Part 0 or 1 (key, value) of [rows, 2, heads, head_size], as attention takes it: [1, rows, heads,
// head_size]. Of a Tensor or a Variable.
template <typename X>
X part(const X& key_value, int64_t which) {
  const X one = slice(key_value, 1, which, which + 1);
  return transpose(one, 0, 1);
}

// The gradients of query and key_value from the gradient g [rows, heads, head_size].
Gradients cross_attention_composition(const Variable& g, const Variable& query, const Variable& key_value,
                                      const AttentionOptions& options) {
  const Gradients parts = attention_composition(unsqueeze(g, 0), unsqueeze(query, 0), part(key_value, 0),
                                                part(key_value, 1), options, {true, true, true});
  return {reshape(parts[0], query.shape()),
          concat({transpose(parts[1], 0, 1), transpose(parts[2], 0, 1)}, 1)};
}

}  // namespace

Variable cross_attention(const Variable& query, const Variable& key_value, AttentionOptions options,
                         Generator* generator) {
  if (query.rank() != 3 || key_value.rank() != 4 || key_value.size(1) != 2) {
    fail(
        "cross_attention: query and key_value have shapes {} and {}, they take [rows, heads, head_size] and "
        "[rows, 2, heads, head_size]",
        query.shape().to_string(), key_value.shape().to_string());
  }
  const Tensor rows = unsqueeze(query.value(), 0), memory = key_value.value();
  if (options.dropout > 0) {
    if (!generator) fail("cross_attention: dropout needs a generator");
    options.dropout_position = generator->reserve(attention_dropout_counters(rows, part(memory, 0)));
  }
  AttentionResult saved = attention(rows, part(memory, 0), part(memory, 1), options);
  Tensor result = reshape(saved.output, query.shape());
  saved.output = Tensor();
  // attention's rule, with the gradients of key and value side by side
  return Tape::record(
      "cross_attention", std::move(result), {query, key_value},
      [saved, options = SavedAttentionOptions(options), query = Saved("query", query),
       key_value = Saved("key_value", key_value)](const Variable& g, const Variable& output) {
        if (gradients_enabled()) {
          return cross_attention_composition(g, query.variable(), key_value.variable(), options.read());
        }
        AttentionResult forward = saved;
        forward.output = unsqueeze(output.value(), 0);
        const Tensor &q = query.value(), &kv = key_value.value();
        const Tensor of_q(q.shape(), q.dtype(), q.device()), of_kv(kv.shape(), kv.dtype(), kv.device());
        attention_gradient(unsqueeze(g.value(), 0), unsqueeze(q, 0), part(kv, 0), part(kv, 1), forward,
                           options.read(), {unsqueeze(of_q, 0), part(of_kv, 0), part(of_kv, 1)});
        return Gradients{kept_if(needed(0), of_q), kept_if(needed(1), of_kv)};
      });
}

}  // namespace haze

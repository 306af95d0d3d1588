#include "haze/autograd/attention_composition.h"
#include "haze/autograd/rules.h"

namespace haze {
namespace {

// Part 0, 1 or 2 (query, key, value) of [rows, 3, heads, head_size], as attention takes it: [1, rows, heads,
// head_size]. Of a Tensor or a Variable.
template <typename X>
X part(const X& qkv, int64_t which) {
  const X one = slice(qkv, 1, which, which + 1);
  return transpose(one, 0, 1);
}

/// The gradient of qkv from the gradient g [rows, heads, head_size].
Variable self_attention_composition(const Variable& g, const Variable& qkv, const AttentionOptions& options) {
  const Gradients parts = attention_composition(unsqueeze(g, 0), part(qkv, 0), part(qkv, 1), part(qkv, 2),
                                                options, {true, true, true});
  return concat({transpose(parts[0], 0, 1), transpose(parts[1], 0, 1), transpose(parts[2], 0, 1)}, 1);
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
  AttentionResult saved = attention(query, key, value, options);
  Tensor result = reshape(saved.output, {qkv.size(0), qkv.size(2), qkv.size(3)});
  saved.output = Tensor();
  // attention's rule, with the three gradients side by side
  return Tape::record("self_attention", std::move(result), {qkv},
                      [saved, options = SavedAttentionOptions(options), qkv = Saved("qkv", qkv)](
                          const Variable& g, const Variable& output) {
                        if (gradients_enabled()) {
                          return Gradients{self_attention_composition(g, qkv.variable(), options.read())};
                        }
                        AttentionResult forward = saved;
                        forward.output = unsqueeze(output.value(), 0);
                        const Tensor& x = qkv.value();
                        const Tensor gradient(x.shape(), x.dtype(), x.device());
                        attention_gradient(unsqueeze(g.value(), 0), part(x, 0), part(x, 1), part(x, 2),
                                           forward, options.read(),
                                           {part(gradient, 0), part(gradient, 1), part(gradient, 2)});
                        return Gradients{gradient};
                      });
}

}  // namespace haze

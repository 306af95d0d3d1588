#include "haze/autograd/attention_composition.h"
#include "haze/autograd/rules.h"

namespace haze {
Variable attention(const Variable& query, const Variable& key, const Variable& value,
                   AttentionOptions options, Generator* generator) {
  if (options.dropout > 0) {
    if (!generator) fail("attention: dropout {} needs a generator", options.dropout);
    options.dropout_position = generator->reserve(attention_dropout_counters(query.value(), key.value()));
  }
  AttentionResult saved = attention(query.value(), key.value(), value.value(), options);
  Tensor result = std::exchange(saved.output, Tensor());
  // With p = softmax(s q k^T): v gets p^T g; the scores get p (g v^T - rowsum(g o)), o the output (Dao et al.
  // 2022, appendix B)
  return Tape::record(
      "attention", std::move(result), {query, key, value},
      [saved, options = SavedAttentionOptions(options), q = Saved("query", query), k = Saved("key", key),
       v = Saved("value", value)](const Variable& g, const Variable& output) {
        if (gradients_enabled()) {
          return attention_composition(g, q.variable(), k.variable(), v.variable(), options.read(),
                                       {needed(0), needed(1), needed(2)});
        }
        AttentionResult forward = saved;
        forward.output = output.value();
        AttentionGradient d =
            attention_gradient(g.value(), q.value(), k.value(), v.value(), forward, options.read());
        return Gradients{kept_if(needed(0), d.query), kept_if(needed(1), d.key), kept_if(needed(2), d.value)};
      });
}

}  // namespace haze

#include "haze/diffusion/baselines/language_model.h"

#include <vector>

namespace haze {
TransformerConfig causal(TransformerConfig config) {
  config.causal = true;
  return config;
}

Sequences equal_sequences(int64_t count, int64_t length, Device device) {
  return Sequences::of_lengths(std::vector<int64_t>(static_cast<size_t>(count), length), device);
}

class CachedDecoder : public Decoder {
 public:
  explicit CachedDecoder(const CausalTransformer& network) : network_(network) {}

  Tensor read(const Tensor& tokens) override {
    const NoGradient scope;
    const int64_t texts = tokens.size(0), count = tokens.size(1);
    const Sequences sequences = equal_sequences(texts, count, network_.device());
    std::vector<int32_t> last;
    for (int64_t i = 1; i <= texts; ++i) last.push_back(static_cast<int32_t>(i * count - 1));
    const TransformerOptions options{.wanted = Tensor::from(last, {texts}, network_.device()),
                                     .cache = &cache_};
    const Variable hidden = network_.transformer_.forward(
        reshape(to(tokens, network_.device()), {texts * count}), sequences, {}, {}, options);
    return network_.head_->logits(hidden).value();
  }

  void select(const Tensor& entries) override { cache_.select(entries.to_vector<int32_t>()); }

 private:
  const CausalTransformer& network_;
  TransformerCache cache_;
};

CausalTransformer::CausalTransformer(int64_t vocabulary, TransformerConfig config, bool tied,
                                     Generator& generator)
    : transformer_(vocabulary, causal(config), generator) {
  head_ = tied ? std::make_unique<TokenHead>(transformer_.token_embedding(), vocabulary, generator)
               : std::make_unique<TokenHead>(config.hidden, vocabulary, generator);
  add_module("transformer", transformer_);
  add_module("head", *head_);
}

std::unique_ptr<Decoder> CausalTransformer::decoder() const {
  return std::make_unique<CachedDecoder>(*this);
}

CrossEntropy CausalTransformer::cross_entropy(const Tensor& ids, const Sequences& sequences,
                                              const Tensor& rows, const Tensor& targets,
                                              const Tensor& row_weights,
                                              const ForwardContext& context) const {
  return head_->cross_entropy(hidden(ids, sequences, rows, context), haze::to(targets, device()),
                              haze::to(row_weights, device()));
}

Variable CausalTransformer::logits(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                                   const ForwardContext& context) const {
  return head_->logits(hidden(ids, sequences, rows, context));
}

Variable CausalTransformer::hidden_after(const Tensor& tokens, TransformerCache& cache) const {
  const Sequences sequences = equal_sequences(tokens.size(0), tokens.size(1), device());
  return transformer_.forward(reshape(haze::to(tokens, device()), {sequences.rows}), sequences, {}, {},
                              {.cache = &cache});
}

Variable CausalTransformer::hidden_after(const Variable& x, const std::vector<PastRows>& past) const {
  return transformer_.forward_vectors(x, equal_sequences(x.size(0), 1, device()), {}, {}, {.past = past});
}

Variable CausalTransformer::hidden_of(const Tensor& ids, const Sequences& sequences) const {
  return hidden(ids, sequences, {}, {});
}

Variable CausalTransformer::hidden(const Tensor& ids, const Sequences& sequences, const Tensor& rows,
                                   const ForwardContext& context) const {
  const Device here = device();
  return transformer_.forward(haze::to(ids, here), sequences.to(here), {}, context,
                              {.wanted = rows.defined() ? haze::to(rows, here) : rows});
}

}  // namespace haze

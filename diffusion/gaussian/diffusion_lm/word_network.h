#pragma once

#include <memory>
#include <string>
#include <vector>

#include "haze/diffusion/gaussian/diffusion_lm/word_process.h"
#include "haze/nn/heads.h"
#include "haze/nn/transformer.h"

/// The network of Diffusion-LM: embeddings of words, a BERT-style transformer over noisy vectors, and p(w |
/// x_0).
namespace haze {

/// The network's answer for each row.
enum class WordOutput {
  vector,  // a vector: x_0, epsilon or v (Li et al. 2022)
  words,   // a distribution over words, whose mean embedding is the estimate
  /// The same, with the exact log N(x_t; alpha EMB(w), sigma^2 I) of each word w added to its logit. The
  /// network then learns from the context alone. (Gulrajani and Hashimoto 2023, "Likelihood-based diffusion
  /// language models" (Plaid), section 4.)
  words_with_likelihood,
};

/// p(w | x_0).
enum class RoundingKind {
  linear,      // softmax(x_0 EMB^T + bias) (Li et al. 2022)
  likelihood,  // proportional to N(x_0; EMB(w), sigma_0^2 I)
};

struct WordNetworkOptions {
  int64_t words = 0;
  int64_t dimension = 16;  // d of an embedding
  WordOutput output = WordOutput::words_with_likelihood;
  RoundingKind rounding = RoundingKind::likelihood;
  bool unit_variance = true;  // every embedding has the norm sqrt(dimension)
  bool self_conditioning = false;
  double sigma_0 = 0;
};

/// A question to the network.
struct NoisyRows {
  Variable x_t;  // [rows, dimension]
  Sequences sequences;
  std::vector<NoiseLevel> levels;  // of each sequence, with EMB(w) as the data (word_level)
  Tensor previous = {};            // [rows, dimension]: an estimate to condition on; undefined: none yet
};

/// logits = features weight^T + bias: so the fused linear_cross_entropy() can form them.
struct WordLogits {
  Variable features, weight, bias;
  Variable whole() const { return linear(features, weight, bias); }
};

class WordNetwork : public Module {
 public:
  WordNetwork(const WordNetworkOptions& options, const TransformerConfig& config, Generator& generator);

  const WordNetworkOptions& options() const { return options_; }

  /// EMB of every word, [words, dimension].
  Variable embeddings() const;
  /// The transformer's rows [rows, hidden].
  Variable hidden(const NoisyRows& input, const ForwardContext& context) const;
  /// The vector of each row, [rows, dimension]; of WordOutput::vector.
  Variable vectors(const Variable& hidden) const;
  /// Logits of the other outputs, up to a constant for each row. `embeddings` are embeddings().
  WordLogits word_logits(const Variable& hidden, const NoisyRows& input, const Variable& embeddings) const;
  /// Logits of p(w | x_0), x_0 [rows, dimension].
  WordLogits rounding_logits(const Variable& x_0, const Variable& embeddings) const;

 private:
  Variable likelihood_features(const Variable& x, const Tensor& scale) const;

  WordNetworkOptions options_;
  Variable embedding_, rounding_bias_;
  VectorInput input_;
  Transformer transformer_;
  std::unique_ptr<VectorHead> vector_head_;
  std::unique_ptr<Linear> word_head_;
};

/// How words lie, as training reports it.
struct EmbeddingStatistics {
  Tensor mean_norm;   // []
  Tensor anisotropy;  // []: mean cosine of two different words, 0 where they point everywhere alike
};
/// embeddings [words, dimension]; nothing is read on the host. The anisotropy of one word is 0.
EmbeddingStatistics embedding_statistics(const Tensor& embeddings);

/// Sentences where the embeddings have collapsed; none where they have not. Either the mean cosine of two
/// words is above 0.9, or half of the words are nearer to another word than 4 sigma_0. Such words cannot be
/// told apart in x_0. Reads on the host.
std::vector<std::string> embedding_warnings(const Tensor& embeddings, double sigma_0);

}  // namespace haze

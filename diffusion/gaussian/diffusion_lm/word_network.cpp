#include "haze/diffusion/gaussian/diffusion_lm/word_network.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace haze {
namespace {

Variable row_squares(const Variable& x) {
  return sum(square(x), {-1}, /*keep_axes=*/true);
}

}  // namespace

WordNetwork::WordNetwork(const WordNetworkOptions& options, const TransformerConfig& config,
                         Generator& generator)
    : options_(options),
      input_(options.dimension * (options.self_conditioning ? 2 : 1), config.hidden, generator,
             VectorLayers::linear_tanh_linear),
      transformer_(config, generator) {
  if (options.words < 1 || options.dimension < 1)
    fail("WordNetwork: {} words of dimension {}", options.words, options.dimension);
  add_parameter("embedding.weight", embedding_, normal({options.words, options.dimension}, generator));
  add_module("input", input_);
  add_module("transformer", transformer_);
  if (options.output == WordOutput::vector) {
    vector_head_ = std::make_unique<VectorHead>(config.hidden, options.dimension, generator,
                                                VectorLayers::linear_tanh_linear);
    add_module("output", *vector_head_);
  } else {
    word_head_ = std::make_unique<Linear>(config.hidden, options.words, generator);
    add_module("output", *word_head_);
  }
  if (options.rounding == RoundingKind::linear)
    add_parameter("rounding.bias", rounding_bias_, zeros({options.words}));
}

Variable WordNetwork::embeddings() const {
  if (!options_.unit_variance) return embedding_;
  constexpr double kTiny = 1e-12;  // an embedding of zeros has no direction
  const Variable mean_square = row_squares(embedding_) * (1.0 / static_cast<double>(options_.dimension));
  return embedding_ / sqrt(mean_square + kTiny);
}

Variable WordNetwork::hidden(const NoisyRows& input, const ForwardContext& context) const {
  std::vector<float> times;
  for (const NoiseLevel& level : input.levels) times.push_back(static_cast<float>(level.time));
  const Tensor t = Tensor::from(times, {std::ssize(times)}, device());
  Variable x = input.x_t;
  if (options_.self_conditioning) {
    const Tensor previous = input.previous.defined() ? input.previous : zeros_like(x.value());
    x = concat({x, Variable(previous)}, 1);
  }
  return transformer_.forward(input_.forward(x), input.sequences, t, context);
}

Variable WordNetwork::vectors(const Variable& hidden) const {
  if (!vector_head_) fail("WordNetwork: the output is a distribution over words");
  return vector_head_->forward(hidden);
}

// log N(x; alpha e, sigma^2 I) = (alpha / sigma^2) x e - (alpha / sigma)^2 |e|^2 / 2 + what e does not
// change: the features (scale x, -scale alpha / 2) with the weights (e, |e|^2), where scale is alpha /
// sigma^2. Here `scales` holds both numbers of each row.
Variable WordNetwork::likelihood_features(const Variable& x, const Tensor& scales) const {
  return concat({x * Variable(slice(scales, 1, 0, 1)), Variable(slice(scales, 1, 1, 2))}, 1);
}

WordLogits WordNetwork::word_logits(const Variable& hidden, const NoisyRows& input,
                                    const Variable& embeddings) const {
  if (!word_head_) fail("WordNetwork: the output is a vector");
  if (options_.output == WordOutput::words) return {hidden, word_head_->weight(), word_head_->bias()};
  std::vector<double> of_x, of_square;
  for (const NoiseLevel& level : input.levels) {
    of_x.push_back(level.alpha / (level.sigma * level.sigma));
    of_square.push_back(-0.5 * of_x.back() * level.alpha);
  }
  const Dtype dtype = hidden.dtype();
  const Tensor columns[] = {for_rows(input.sequences, of_x, dtype),
                            for_rows(input.sequences, of_square, dtype)};
  return {concat({hidden, likelihood_features(input.x_t, concat(columns, 1))}, 1),
          concat({word_head_->weight(), embeddings, row_squares(embeddings)}, 1), word_head_->bias()};
}

WordLogits WordNetwork::rounding_logits(const Variable& x_0, const Variable& embeddings) const {
  if (options_.rounding == RoundingKind::linear) return {x_0, embeddings, rounding_bias_};
  const double precision = 1 / (options_.sigma_0 * options_.sigma_0);
  return {x_0 * precision, embeddings,
          reshape(row_squares(embeddings), {options_.words}) * (-0.5 * precision)};
}

EmbeddingStatistics embedding_statistics(const Tensor& embeddings) {
  const NoGradient scope;
  const auto words = static_cast<double>(embeddings.size(0));
  const Variable norms = sqrt(row_squares(embeddings));
  const Variable directions = Variable(embeddings) / (norms + 1e-12);
  // |sum of n unit vectors|^2 is n, and the cosine of each ordered pair.
  const Variable pairs = sum(square(sum(directions, {0}))) - words;
  return {mean(norms).value(), (pairs * (1 / std::max(words * (words - 1), 1.0))).value()};
}

namespace {

// The distance of each word to the nearest other one.
std::vector<double> nearest_distances(const Tensor& embeddings) {
  const Tensor e = to(cast(embeddings, Dtype::float64), Device::cpu);
  const Tensor squares = reduce(ReduceOp::sum, unary(UnaryOp::square, e), {1}, /*keep_axes=*/true);
  const Tensor products = scale_shift(matmul(e, transpose(e)), -2, 0);
  const Tensor distances = add(add(products, squares), transpose(squares));
  std::vector<double> result;
  const int64_t words = e.size(0);
  const double* row = distances.data<double>();
  for (int64_t i = 0; i < words; ++i, row += words) {
    double least = std::numeric_limits<double>::infinity();
    for (int64_t j = 0; j < words; ++j) {
      if (j != i) least = std::min(least, row[j]);
    }
    result.push_back(std::sqrt(std::max(least, 0.0)));
  }
  return result;
}

}  // namespace

std::vector<std::string> embedding_warnings(const Tensor& embeddings, double sigma_0) {
  constexpr double kMostAnisotropy = 0.9, kLeastDistance = 4;
  std::vector<std::string> warnings;
  const double anisotropy = embedding_statistics(embeddings).anisotropy.item();
  if (anisotropy > kMostAnisotropy)
    warnings.push_back(fmt::format(
        "the embeddings have collapsed into one direction: two words have a mean cosine of {:.3f}",
        anisotropy));
  const std::vector<double> distances = nearest_distances(embeddings);
  const auto near = std::count_if(distances.begin(), distances.end(),
                                  [&](double distance) { return distance < kLeastDistance * sigma_0; });
  if (2 * near > std::ssize(distances))
    warnings.push_back(
        fmt::format("the embeddings have collapsed: {} of {} words are nearer to another word than 4 sigma_0 "
                    "= {:.3f}, so that their noise hides which they are",
                    near, distances.size(), kLeastDistance * sigma_0));
  return warnings;
}

}  // namespace haze

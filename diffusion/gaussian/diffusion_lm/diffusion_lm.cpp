#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm.h"

#include <algorithm>
#include <cmath>

namespace haze {
namespace {

// The rows of a batch with their noise, on the network's device.
struct Rows {
  Sequences sequences;
  Tensor ids, x_0_noise, x_t_noise;
  std::vector<NoiseLevel> levels;  // with x_0 as the data
};

Rows rows_of(const DiffusionLm& model, const WordNetwork& network, const NoisyTexts& noisy, Dtype dtype) {
  const Device device = network.device();
  Rows rows{noisy.texts.sequences.to(device),
            to(noisy.texts.ids, device),
            cast(to(noisy.x_0_noise, device), dtype),
            cast(to(noisy.x_t_noise, device), dtype),
            {}};
  for (const int32_t t : noisy.t) rows.levels.push_back(noise_level(model.process.schedule, t));
  return rows;
}

template <typename F>
Variable of_levels(const Sequences& sequences, const std::vector<NoiseLevel>& levels, Dtype dtype, F f) {
  std::vector<double> numbers;
  for (const NoiseLevel& level : levels) numbers.push_back(f(level));
  return for_rows(sequences, numbers, dtype);
}

// alpha x_0 + sigma epsilon = x_t and its kin, for rows at levels with x_0 as the data.
Variable combined(const Sequences& sequences, const std::vector<NoiseLevel>& levels, const Variable& x,
                  const Variable& y, double (*of_x)(const NoiseLevel&), double (*of_y)(const NoiseLevel&)) {
  return of_levels(sequences, levels, x.dtype(), of_x) * x +
         of_levels(sequences, levels, x.dtype(), of_y) * y;
}

double alpha_of(const NoiseLevel& level) {
  return level.alpha;
}
double sigma_of(const NoiseLevel& level) {
  return level.sigma;
}

Variable target_of(Parameterisation prediction, const Rows& rows, const Variable& x_0) {
  switch (prediction) {
    case Parameterisation::epsilon:
      return rows.x_t_noise;
    case Parameterisation::x_0:
      return x_0;
    case Parameterisation::v:
      return combined(rows.sequences, rows.levels, rows.x_t_noise, x_0, alpha_of,
                      [](const NoiseLevel& level) { return -level.sigma; });
  }
  fail("diffusion_lm: unknown parameterisation");
}

// The x_0 that belongs to an output.
Variable x_0_of(Parameterisation prediction, const Sequences& sequences,
                const std::vector<NoiseLevel>& levels, const Variable& output, const Variable& x_t) {
  switch (prediction) {
    case Parameterisation::epsilon:
      return combined(
          sequences, levels, x_t, output, [](const NoiseLevel& level) { return 1 / level.alpha; },
          [](const NoiseLevel& level) { return -level.sigma / level.alpha; });
    case Parameterisation::x_0:
      return output;
    case Parameterisation::v:
      return combined(sequences, levels, x_t, output, alpha_of,
                      [](const NoiseLevel& level) { return -level.sigma; });
  }
  fail("diffusion_lm: unknown parameterisation");
}

std::vector<NoiseLevel> to_word_levels(const WordProcess& process, std::vector<NoiseLevel> levels) {
  for (NoiseLevel& level : levels) level = to_word_level(process, level);
  return levels;
}

// At t = 1 the embedding itself is the target (section 4.1, the term of mu_theta(x_1, 1)).
Variable squared_error(const DiffusionLm& model, const NoisyTexts& noisy, const Rows& rows,
                       const Variable& output, const Variable& x_t, const Variable& x_0,
                       const Variable& embedded) {
  const Variable error = output - target_of(model.prediction, rows, x_0);
  if (std::find(noisy.t.begin(), noisy.t.end(), 1) == noisy.t.end()) return mean(square(error));
  const Variable of_first = x_0_of(model.prediction, rows.sequences, rows.levels, output, x_t) - embedded;
  std::vector<double> is_first;
  for (const int32_t t : noisy.t) is_first.push_back(t == 1 ? 1 : 0);
  const Variable first(for_rows(rows.sequences, is_first, output.dtype()));
  return mean(first * square(of_first) + (first * -1.0 + 1.0) * square(error));
}

Variable mean_cross_entropy(const WordLogits& logits, const Tensor& ids) {
  // Log-likelihoods are differences of large numbers.
  const PrecisionScope scope(Precision::full);
  const int64_t rows = ids.size(0);
  const Tensor weights = full({rows}, 1.0 / static_cast<double>(rows), logits.features.dtype(), ids.device());
  return linear_cross_entropy(logits.features, logits.weight, logits.bias, ids, weights).total;
}

}  // namespace

WordEstimate estimate_of(WordOutput output) {
  return output == WordOutput::vector ? WordEstimate::x_0 : WordEstimate::embedding;
}

TextBatch padded_texts(const TextBatch& texts, int64_t length, int32_t padding) {
  if (texts.sequences.longest > length)
    fail("diffusion_lm: a text has {} tokens, and the model takes {}", texts.sequences.longest, length);
  if (padding < 0) return texts;
  const std::vector<int32_t> ids = texts.ids.to_vector<int32_t>();
  std::vector<std::vector<int32_t>> padded;
  auto next = ids.begin();
  for (const int64_t rows : texts.sequences.lengths) {
    padded.emplace_back(next, next + rows);
    padded.back().resize(static_cast<size_t>(length), padding);
    next += rows;
  }
  return TextBatch::of(padded);
}

Loss diffusion_lm_loss(const DiffusionLm& model, const WordNetwork& network, const NoisyTexts& noisy,
                       const ForwardContext& context) {
  const Variable table = network.embeddings();
  const Rows rows = rows_of(model, network, noisy, table.dtype());
  const Variable embedded = embedding(table, rows.ids);
  const Variable x_0 = embedded + model.process.sigma_0 * Variable(rows.x_0_noise);  // q(x_0 | w)
  const Variable x_t =
      combined(rows.sequences, rows.levels, x_0, rows.x_t_noise, alpha_of, sigma_of);  // q(x_t | x_0)
  NoisyRows input{x_t, rows.sequences, to_word_levels(model.process, rows.levels)};
  if (noisy.estimates_first) {
    const NoGradient scope;
    input.previous = word_estimate(model, network, input);
  }
  const Variable hidden = network.hidden(input, context);
  const bool of_words = network.options().output != WordOutput::vector;
  const Variable first = of_words
                             ? mean_cross_entropy(network.word_logits(hidden, input, table), rows.ids)
                             : squared_error(model, noisy, rows, network.vectors(hidden), x_t, x_0, embedded);
  const Variable prior = mean(square(x_0)) * model.process.schedule.alpha_bar.back();
  const Variable rounding = mean_cross_entropy(network.rounding_logits(x_0, table), rows.ids);
  const EmbeddingStatistics statistics = embedding_statistics(table.value());
  return {.total = first + prior + rounding,
          .log = {{of_words ? "cross_entropy" : "squared_error", first.value()},
                  {"rounding", rounding.value()},
                  {"prior", prior.value()},
                  {"embedding_norm", statistics.mean_norm},
                  {"embedding_anisotropy", statistics.anisotropy}},
          .inputs = {{"ids", noisy.texts.ids},
                     {"offsets", noisy.texts.sequences.offsets},
                     {"t", Tensor::from(noisy.t, {std::ssize(noisy.t)})},
                     {"x_0_noise", noisy.x_0_noise},
                     {"x_t_noise", noisy.x_t_noise}}};
}

Tensor word_estimate(const DiffusionLm& model, const WordNetwork& network, const NoisyRows& input,
                     const WordEstimateOptions& options) {
  const NoGradient scope;
  const Variable hidden = network.hidden(input, {});
  if (network.options().output == WordOutput::vector) {
    std::vector<NoiseLevel> levels;
    for (const NoiseLevel& level : input.levels) levels.push_back(from_word_level(model.process, level));
    return x_0_of(model.prediction, input.sequences, levels, network.vectors(hidden), input.x_t).value();
  }
  const Variable table = network.embeddings();
  Variable logits = network.word_logits(hidden, input, table).whole();
  if (options.offsets.defined()) logits = logits + Variable(options.offsets);
  if (options.temperature == 0) return embedding(table.value(), argmax(logits.value(), 1));
  if (options.temperature != 1) logits = logits * (1 / options.temperature);
  return matmul(softmax(logits), table).value();
}

WordModel word_model(const DiffusionLm& model, const WordNetwork& network) {
  const WordDenoiser denoise = [&, model](const Tensor& x_t, const Sequences& sequences,
                                          const std::vector<NoiseLevel>& levels) {
    NoisyRows input{x_t, sequences, levels};
    if (network.options().self_conditioning) input.previous = word_estimate(model, network, input);
    return word_estimate(model, network, input);
  };
  const RoundingNats rounding = [&](const Tensor& x_0, const Tensor& ids) {
    const NoGradient scope;
    const WordLogits logits = network.rounding_logits(x_0, network.embeddings());
    return linear_cross_entropy(logits.features, logits.weight, logits.bias, ids,
                                ones(ids.shape(), x_0.dtype(), ids.device()))
        .losses;
  };
  return {model.process, estimate_of(network.options().output), model.variance, denoise, rounding};
}

}  // namespace haze

#include "haze/diffusion/gaussian/diffusion_lm/word_bound.h"

#include <cmath>
#include <numeric>

#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

// Sums of the rows of each sequence; values real [rows, ...].
std::vector<double> sums_of(const Sequences& sequences, const Tensor& values) {
  const Tensor flat = reshape(cast(values, Dtype::float64), {sequences.rows, -1});
  const std::vector<double> rows = reduce(ReduceOp::sum, flat, {1}).to_vector<double>();
  std::vector<double> result;
  size_t row = 0;
  for (const int64_t length : sequences.lengths) {
    double sum = 0;
    for (int64_t i = 0; i < length; ++i) sum += rows[row++];
    result.push_back(sum);
  }
  return result;
}

Tensor square(const Tensor& x) {
  return unary(UnaryOp::square, x);
}

// a x + s noise, with a and s of each row.
Tensor noised(const Tensor& scale, const Tensor& x, const Tensor& deviation, Generator& generator) {
  const Tensor noise = normal(x.shape(), generator, 0, 1, x.dtype(), x.device());
  return add(multiply(scale, x), multiply(deviation, noise));
}

}  // namespace

std::vector<double> word_prior_nats(const WordProcess& process, const EmbeddedTexts& texts) {
  const NoiseLevel last = word_level(process, process.schedule.steps());
  const double variance = last.sigma * last.sigma;
  const double per_number = 0.5 * (variance - 1 - std::log(variance));
  std::vector<double> nats = sums_of(texts.sequences, square(cast(texts.embeddings, Dtype::float64)));
  const auto dimension = static_cast<double>(texts.embeddings.size(1));
  for (size_t i = 0; i < nats.size(); ++i) {
    const auto numbers = static_cast<double>(texts.sequences.lengths[i]) * dimension;
    nats[i] = per_number * numbers + 0.5 * last.alpha * last.alpha * nats[i];
  }
  return nats;
}

std::vector<double> word_term_nats(const WordModel& model, const EmbeddedTexts& texts,
                                   const std::vector<int32_t>& t, Generator& generator) {
  const NoGradient scope;
  const Sequences& sequences = texts.sequences;
  std::vector<NoiseLevel> levels;
  std::vector<double> alpha, sigma, of_embedding, of_estimate, of_x_t, scale, constant;
  for (const int32_t step : t) {
    const NoiseLevel level = word_level(model.process, step);
    const LevelStep q = step_between(level, word_level(model.process, step - 1));
    const WordReverseStep p = word_reverse_step(model.process, model.estimate, model.variance, step);
    levels.push_back(level);
    alpha.push_back(level.alpha);
    sigma.push_back(level.sigma);
    of_embedding.push_back(q.x_0_coefficient);
    of_estimate.push_back(-p.estimate_coefficient);
    of_x_t.push_back(q.x_t_coefficient - p.x_t_coefficient);
    scale.push_back(0.5 / p.variance);
    const double ratio = q.posterior_variance / p.variance;
    constant.push_back(0.5 * (ratio - 1 - std::log(ratio)));
  }
  const auto rows = [&](const std::vector<double>& numbers, Dtype dtype = Dtype::float64) {
    return for_rows(sequences, numbers, dtype);
  };
  const Dtype dtype = texts.embeddings.dtype();
  const Tensor x_t = noised(rows(alpha, dtype), texts.embeddings, rows(sigma, dtype), generator);
  const Tensor estimate = cast(model.denoise(x_t, sequences, levels), Dtype::float64);
  // The difference of the means of q and p.
  const Tensor known = add(multiply(rows(of_embedding), cast(texts.embeddings, Dtype::float64)),
                           multiply(rows(of_x_t), cast(x_t, Dtype::float64)));
  const Tensor difference = add(known, multiply(rows(of_estimate), estimate));
  return sums_of(sequences, add(multiply(rows(scale), square(difference)), rows(constant)));
}

std::vector<double> rounding_nats(const WordModel& model, const EmbeddedTexts& texts, Generator& generator) {
  const NoGradient scope;
  const Tensor noise =
      normal(texts.embeddings.shape(), generator, 0, 1, texts.embeddings.dtype(), texts.embeddings.device());
  const Tensor x_0 = add(texts.embeddings, scale_shift(noise, model.process.sigma_0, 0));
  return sums_of(texts.sequences, model.rounding(x_0, texts.ids));
}

std::vector<double> word_step_probabilities(const WordProcess& process, int64_t dimension) {
  const int steps = process.schedule.steps();
  const auto d = static_cast<double>(dimension);
  std::vector<double> of_numbers, of_words;
  for (int t = 1; t <= steps; ++t) {
    const NoiseLevel level = word_level(process, t);
    const LevelStep step = step_between(level, word_level(process, t - 1));
    const double snr = level.alpha * level.alpha / (level.sigma * level.sigma);
    const double weight = step.x_0_coefficient * step.x_0_coefficient / step.posterior_variance;
    of_numbers.push_back(weight / (1 + snr));
    of_words.push_back(weight * std::exp(-0.25 * d * snr));
  }
  const auto sum_of = [](const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); };
  const double numbers = sum_of(of_numbers), words = sum_of(of_words);
  std::vector<double> p;
  for (size_t i = 0; i < of_numbers.size(); ++i)
    p.push_back(0.25 / steps + 0.25 * of_numbers[i] / numbers + 0.5 * of_words[i] / words);
  return p;
}

std::vector<double> word_bound_nats(const WordModel& model, const EmbeddedTexts& texts,
                                    Generator& generator) {
  const std::vector<double> p = word_step_probabilities(model.process, texts.embeddings.size(1));
  const std::vector<int32_t> t = draw_steps(texts.sequences.count, p, /*antithetic=*/true, generator);
  std::vector<double> nats = word_prior_nats(model.process, texts);
  const std::vector<double> rounding = rounding_nats(model, texts, generator);
  const std::vector<double> terms = word_term_nats(model, texts, t, generator);
  for (size_t i = 0; i < nats.size(); ++i)
    nats[i] += rounding[i] + terms[i] / p[static_cast<size_t>(t[i]) - 1];
  return nats;
}

}  // namespace haze

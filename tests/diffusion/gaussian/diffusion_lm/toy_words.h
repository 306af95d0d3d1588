#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "haze/diffusion/gaussian/diffusion_lm/word_bound.h"

#include "diffusion/gaussian/ddpm_gaussian.h"

/// Two words in one dimension, texts of one or two of them, and a denoiser that is a formula. All
/// expectations are integrals over a line or a plane, which are sums over a grid here.
namespace haze::diffusion_test {

constexpr std::array<double, 2> kEmbeddings = {-0.8, 1.1};
constexpr double kRoundingScale = 3, kRoundingBias = 0.2;

inline double density(double x, double mean, double variance) {
  return std::exp(-(x - mean) * (x - mean) / (2 * variance)) / std::sqrt(2 * M_PI * variance);
}

/// The estimate of a position from its x_t and its neighbour's, which is 0 where there is none. It is no
/// optimal one.
inline double toy_estimate(double x, double neighbour, const NoiseLevel& level) {
  return 0.2 + std::tanh(1.5 * x - 0.4 * neighbour + level.time);
}

/// -log p(w | x_0) of a linear layer of two words.
inline double toy_rounding(double x_0, int word) {
  const double logit = kRoundingScale * x_0 + kRoundingBias;  // of the second word; that of the first is 0
  return std::log1p(std::exp(word == 1 ? -logit : logit));
}

inline WordModel toy_model(WordEstimate estimate, ReverseVariance variance, int steps = 6) {
  WordModel model{word_process(short_schedule(steps)), estimate, variance, {}, {}};
  model.denoise = [](const Tensor& x_t, const Sequences& sequences, const std::vector<NoiseLevel>& levels) {
    const std::vector<double> x = x_t.to_vector<double>();
    std::vector<double> result;
    size_t first = 0;
    for (size_t i = 0; i < levels.size(); ++i) {
      const auto length = static_cast<size_t>(sequences.lengths[i]);
      for (size_t k = 0; k < length; ++k)
        result.push_back(toy_estimate(x[first + k], length == 2 ? x[first + 1 - k] : 0, levels[i]));
      first += length;
    }
    return Tensor::from(result, x_t.shape());
  };
  model.rounding = [](const Tensor& x_0, const Tensor& ids) {
    const std::vector<double> x = x_0.to_vector<double>();
    const std::vector<int32_t> words = ids.to_vector<int32_t>();
    std::vector<double> result;
    for (size_t i = 0; i < x.size(); ++i) result.push_back(toy_rounding(x[i], words[i]));
    return Tensor::from(result, ids.shape());
  };
  return model;
}

/// `count` copies of a text.
inline EmbeddedTexts copies_of(const std::vector<int>& text, int64_t count) {
  std::vector<int32_t> ids;
  std::vector<double> embeddings;
  for (int64_t i = 0; i < count; ++i) {
    for (const int word : text) {
      ids.push_back(word);
      embeddings.push_back(kEmbeddings[static_cast<size_t>(word)]);
    }
  }
  const std::vector<int64_t> lengths(static_cast<size_t>(count), std::ssize(text));
  const auto rows = std::ssize(ids);
  return {Sequences::of_lengths(lengths), Tensor::from(ids, {rows}), Tensor::from(embeddings, {rows, 1})};
}

inline std::vector<std::vector<int>> toy_texts() {
  return {{0}, {1}, {0, 0}, {0, 1}, {1, 0}, {1, 1}};
}

/// Points of the real line, `step` apart, on which densities are summed. The error is below 1e-9 where every
/// deviation is at least as large as the step.
struct Grid {
  double step = 0.15;
  int half = 32;
  int size() const { return 2 * half + 1; }
  double at(int i) const { return (i - half) * step; }
};

/// E f(x_1, ..) where x_i of the text's words is at a level.
template <typename F>
double expectation(const std::vector<int>& text, const NoiseLevel& level, F f, const Grid& grid = {}) {
  const double variance = level.sigma * level.sigma;
  const auto weight = [&](size_t place, double x) {
    return density(x, level.alpha * kEmbeddings[static_cast<size_t>(text[place])], variance) * grid.step;
  };
  double sum = 0;
  for (int i = 0; i < grid.size(); ++i) {
    const double x = grid.at(i);
    if (text.size() == 1) {
      sum += weight(0, x) * f(x, 0.0);
      continue;
    }
    for (int j = 0; j < grid.size(); ++j) sum += weight(0, x) * weight(1, grid.at(j)) * f(x, grid.at(j));
  }
  return sum;
}

/// The KL of term t summed over the positions of a text, at x_t = (x, y).
inline double toy_kl(const WordModel& model, const std::vector<int>& text, int t, double x, double y) {
  const NoiseLevel level = word_level(model.process, t);
  const LevelStep q = step_between(level, word_level(model.process, t - 1));
  const WordReverseStep p = word_reverse_step(model.process, model.estimate, model.variance, t);
  double sum = 0;
  for (size_t place = 0; place < text.size(); ++place) {
    const double own = place == 0 ? x : y, other = place == 0 ? y : x;
    const double embedding = kEmbeddings[static_cast<size_t>(text[place])];
    sum += gaussian_kl(q.x_0_coefficient * embedding + q.x_t_coefficient * own, q.posterior_variance,
                       p.estimate_coefficient * toy_estimate(own, other, level) + p.x_t_coefficient * own,
                       p.variance);
  }
  return sum;
}

inline double toy_term(const WordModel& model, const std::vector<int>& text, int t) {
  return expectation(text, word_level(model.process, t),
                     [&](double x, double y) { return toy_kl(model, text, t, x, y); });
}

inline double toy_prior(const WordModel& model, const std::vector<int>& text) {
  const NoiseLevel last = word_level(model.process, model.process.schedule.steps());
  double sum = 0;
  for (const int word : text)
    sum += gaussian_kl(last.alpha * kEmbeddings[static_cast<size_t>(word)], last.sigma * last.sigma, 0, 1);
  return sum;
}

inline double toy_rounding(const WordModel& model, const std::vector<int>& text) {
  return expectation(text, word_level(model.process, 0), [&](double x, double y) {
    return toy_rounding(x, text[0]) + (text.size() == 2 ? toy_rounding(y, text[1]) : 0);
  });
}

inline double toy_bound(const WordModel& model, const std::vector<int>& text) {
  double sum = toy_prior(model, text) + toy_rounding(model, text);
  for (int t = 1; t <= model.process.schedule.steps(); ++t) sum += toy_term(model, text, t);
  return sum;
}

}  // namespace haze::diffusion_test

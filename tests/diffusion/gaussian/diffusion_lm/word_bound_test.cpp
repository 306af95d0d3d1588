#include "haze/diffusion/gaussian/diffusion_lm/word_bound.h"

#include <doctest/doctest.h>

#include "diffusion/gaussian/diffusion_lm/toy_words.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr WordEstimate kEstimates[] = {WordEstimate::embedding, WordEstimate::x_0};
constexpr ReverseVariance kVariances[] = {ReverseVariance::small, ReverseVariance::large};

// p_theta(w) of every text of one or two words, by going through the reverse chain backwards on a grid:
// u_0(x) = p(w | x), u_t(x) = E[u_{t-1}(x_{t-1}) | x_t = x], p(w) = E[u_T(x_T)].
class ExactChain {
 public:
  ExactChain(const WordModel& model, size_t length) : model_(model), texts_(length == 1 ? 2 : 4) {
    const int columns = length == 1 ? 1 : grid_.size();
    for (int i = 0; i < grid_.size(); ++i) {
      for (int j = 0; j < columns; ++j) u_.push_back(rounding(grid_.at(i), length == 1 ? 0 : grid_.at(j)));
    }
    for (int t = 1; t <= model.process.schedule.steps(); ++t) step(t, columns);
    for (int i = 0; i < grid_.size(); ++i) {
      for (int j = 0; j < columns; ++j) {
        const double of_y = columns == 1 ? 1 : density(grid_.at(j), 0, 1) * grid_.step;
        for (size_t w = 0; w < texts_; ++w)
          p_[w] += density(grid_.at(i), 0, 1) * grid_.step * of_y * at(i, j, columns)[w];
      }
    }
  }

  double probability(const std::vector<int>& text) const {
    return p_[static_cast<size_t>(text.size() == 1 ? text[0] : 2 * text[0] + text[1])];
  }

 private:
  using Row = std::array<double, 4>;  // a number for each text

  Row& at(int i, int j, int columns) { return u_[static_cast<size_t>(i * columns + j)]; }

  Row rounding(double x, double y) const {
    Row row{};
    for (int w = 0; w < static_cast<int>(texts_); ++w) {
      row[static_cast<size_t>(w)] = texts_ == 2 ? std::exp(-toy_rounding(x, w))
                                                : std::exp(-toy_rounding(x, w / 2) - toy_rounding(y, w % 2));
    }
    return row;
  }

  // The weights of x_{t-1} on the grid, given x_t and its neighbour.
  std::vector<double> weights(int t, double x, double neighbour) const {
    const WordReverseStep p = word_reverse_step(model_.process, model_.estimate, model_.variance, t);
    const double mean = p.estimate_coefficient * toy_estimate(x, neighbour, word_level(model_.process, t)) +
                        p.x_t_coefficient * x;
    std::vector<double> result;
    for (int k = 0; k < grid_.size(); ++k)
      result.push_back(density(grid_.at(k), mean, p.variance) * grid_.step);
    return result;
  }

  void step(int t, int columns) {
    std::vector<Row> next(u_.size());
    for (int i = 0; i < grid_.size(); ++i) {
      for (int j = 0; j < columns; ++j) {
        const double x = grid_.at(i), y = columns == 1 ? 0 : grid_.at(j);
        const std::vector<double> of_x = weights(t, x, y);
        const std::vector<double> of_y = columns == 1 ? std::vector<double>{1} : weights(t, y, x);
        Row& sum = next[static_cast<size_t>(i * columns + j)];
        for (int k = 0; k < grid_.size(); ++k) {
          if (of_x[static_cast<size_t>(k)] < 1e-12) continue;
          for (int l = 0; l < columns; ++l) {
            const double weight = of_x[static_cast<size_t>(k)] * of_y[static_cast<size_t>(l)];
            for (size_t w = 0; w < texts_; ++w) sum[w] += weight * at(k, l, columns)[w];
          }
        }
      }
    }
    u_ = std::move(next);
  }

  const WordModel& model_;
  size_t texts_;
  Grid grid_{.step = 0.17, .half = 36};
  std::vector<Row> u_;
  Row p_{};
};

// The bound of one word as the paper writes it (section 4.1 and appendix E): the posteriors know x_0.
//   E[KL(q(x_T | x_0) || p(x_T)) + sum_{t>1} KL(q(x_{t-1} | x_t, x_0) || p_theta) + log q(x_0 | w)
//     - log p_theta(x_0 | x_1) - log p_theta(w | x_0)]
double bound_of_paper(const WordModel& model, int word) {
  const NoiseSchedule& schedule = model.process.schedule;
  const double e = kEmbeddings[static_cast<size_t>(word)],
               variance_0 = model.process.sigma_0 * model.process.sigma_0;
  const Grid grid{.step = 0.05, .half = 130};
  double sum = 0;
  for (int i = 0; i < grid.size(); ++i) {
    const double x_0 = grid.at(i), weight = density(x_0, e, variance_0) * grid.step;
    if (weight < 1e-12) continue;
    const double last = schedule.alpha_bar.back();
    double terms = gaussian_kl(std::sqrt(last) * x_0, 1 - last, 0, 1) + toy_rounding(x_0, word) +
                   std::log(density(x_0, e, variance_0));
    for (int t = 1; t <= schedule.steps(); ++t) {
      const auto at = static_cast<size_t>(t);
      const GaussianPosterior q = gaussian_posterior(schedule, t);
      const WordReverseStep p = word_reverse_step(model.process, model.estimate, model.variance, t);
      for (int j = 0; j < grid.size(); ++j) {
        const double x_t = grid.at(j);
        const double of_x_t =
            density(x_t, std::sqrt(schedule.alpha_bar[at]) * x_0, schedule.noise[at]) * grid.step;
        if (of_x_t < 1e-12) continue;
        const double mean = p.estimate_coefficient * toy_estimate(x_t, 0, word_level(model.process, t)) +
                            p.x_t_coefficient * x_t;
        terms += of_x_t * (t > 1 ? gaussian_kl(q.x_0_coefficient * x_0 + q.x_t_coefficient * x_t, q.variance,
                                               mean, p.variance)
                                 : -std::log(density(x_0, mean, p.variance)));
      }
    }
    sum += weight * terms;
  }
  return sum;
}

template <typename F>
void for_each_model(F f) {
  for (const WordEstimate estimate : kEstimates) {
    for (const ReverseVariance variance : kVariances) f(toy_model(estimate, variance));
  }
}

}  // namespace

TEST_CASE("a term of the bound is the KL of two Gaussians at the x_t that was drawn") {
  for_each_model([](WordModel model) {
    std::vector<double> drawn;
    const WordDenoiser plain = model.denoise;
    model.denoise = [&](const Tensor& x_t, const Sequences& sequences,
                        const std::vector<NoiseLevel>& levels) {
      drawn = x_t.to_vector<double>();
      return plain(x_t, sequences, levels);
    };
    Generator generator(1);
    for (int t = 1; t <= model.process.schedule.steps(); ++t) {
      const std::vector<double> nats = word_term_nats(model, copies_of({1, 0}, 3), {t, t, t}, generator);
      for (size_t i = 0; i < 3; ++i) {
        CHECK(nats[i] ==
              doctest::Approx(toy_kl(model, {1, 0}, t, drawn[2 * i], drawn[2 * i + 1])).epsilon(1e-9));
      }
    }
  });
}

TEST_CASE(
    "every term of the bound has the mean that integration gives, for one word and two (4 standard errors)") {
  Generator generator(2);
  for_each_model([&](const WordModel& model) {
    for (const std::vector<int>& text : {std::vector<int>{1}, {0, 1}}) {
      constexpr int64_t kDraws = 4000;
      const EmbeddedTexts texts = copies_of(text, kDraws);
      for (int t = 1; t <= model.process.schedule.steps(); ++t) {
        const std::vector<int32_t> steps(kDraws, t);
        CHECK(means_agree(word_term_nats(model, texts, steps, generator), toy_term(model, text, t)));
      }
      CHECK(means_agree(rounding_nats(model, texts, generator), toy_rounding(model, text)));
      CHECK(word_prior_nats(model.process, texts)[0] ==
            doctest::Approx(toy_prior(model, text)).epsilon(1e-12));
    }
  });
}

TEST_CASE("the estimate of the bound is that of the sum of all terms (4 standard errors)") {
  Generator generator(3);
  for_each_model([&](const WordModel& model) {
    for (const std::vector<int>& text : toy_texts()) {
      // Times of a batch are spread, so draws of one batch are not independent; those of small batches are.
      std::vector<double> means;
      for (int batch = 0; batch < 300; ++batch) {
        double sum = 0;
        for (const double nats : word_bound_nats(model, copies_of(text, 16), generator)) sum += nats / 16;
        means.push_back(sum);
      }
      CHECK(means_agree(means, toy_bound(model, text)));
    }
  });
}

TEST_CASE("with x_0 integrated out of q the bound is the paper's, to 1e-7") {
  for_each_model([](const WordModel& model) {
    for (const int word : {0, 1})
      CHECK(std::abs(toy_bound(model, {word}) - bound_of_paper(model, word)) < 1e-7);
  });
}

TEST_CASE("the bound lies above -log p_theta(w), which sums to 1 over the texts of one word, and of two") {
  for (const WordEstimate estimate : kEstimates) {
    const WordModel model = toy_model(estimate, ReverseVariance::large, 3);
    for (const size_t length : {size_t{1}, size_t{2}}) {
      const ExactChain chain(model, length);
      double total = 0;
      for (const std::vector<int>& text : toy_texts()) {
        if (text.size() != length) continue;
        total += chain.probability(text);
        CHECK(toy_bound(model, text) > -std::log(chain.probability(text)));
      }
      CHECK(total == doctest::Approx(1).epsilon(1e-8));
    }
  }
}

TEST_CASE("no step costs anything where the estimate is the embedding and the variance the small one") {
  WordModel model = toy_model(WordEstimate::embedding, ReverseVariance::small);
  const EmbeddedTexts texts = copies_of({0, 1}, 5);
  model.denoise = [&](const Tensor&, const Sequences&, const std::vector<NoiseLevel>&) {
    return texts.embeddings;
  };
  Generator generator(4);
  for (int t = 1; t <= model.process.schedule.steps(); ++t) {
    for (const double nats : word_term_nats(model, texts, std::vector<int32_t>(5, t), generator))
      CHECK(std::abs(nats) < 1e-12);
  }
}

TEST_CASE("probabilities of the steps are positive and sum to 1") {
  for (const int steps : {6, 2000}) {
    const WordProcess process = word_process(steps == 6 ? short_schedule(6) : sqrt_noise_schedule(steps));
    double total = 0;
    for (const double p : word_step_probabilities(process, 16)) {
      CHECK(p > 0);
      total += p;
    }
    CHECK(total == doctest::Approx(1));
  }
}

}  // namespace haze

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm.h"

#include <cmath>

#include <doctest/doctest.h>

#include "diffusion/gaussian/diffusion_lm/tiny_words.h"
#include "diffusion/toy_language.h"
#include "nn/networks.h"

namespace haze {
namespace {

using namespace diffusion_test;
using Matrix = std::vector<std::vector<double>>;

constexpr WordOutput kOutputs[] = {WordOutput::vector, WordOutput::words, WordOutput::words_with_likelihood};

Matrix matrix(const Tensor& x) {
  const std::vector<double> values = x.to_vector<double>();
  const auto columns = static_cast<size_t>(x.size(1));
  Matrix rows;
  for (size_t i = 0; i < values.size(); i += columns)
    rows.emplace_back(values.begin() + static_cast<std::ptrdiff_t>(i),
                      values.begin() + static_cast<std::ptrdiff_t>(i + columns));
  return rows;
}

double log_sum_exp(const std::vector<double>& x) {
  double sum = 0;
  for (const double value : x) sum += std::exp(value);
  return std::log(sum);
}

// x_0 and x_t of the texts, from the definitions.
struct Drawn {
  Matrix embedded, x_0, x_t, noise;
  std::vector<double> alpha, sigma;  // of each row, with x_0 as the data
  std::vector<int32_t> ids, t;
};

Drawn drawn_of(const DiffusionLm& model, const WordNetwork& network, const NoisyTexts& noisy) {
  Drawn d;
  d.ids = noisy.texts.ids.to_vector<int32_t>();
  d.noise = matrix(noisy.x_t_noise);
  const Matrix table = matrix(network.embeddings().value()), noise_0 = matrix(noisy.x_0_noise);
  size_t row = 0;
  for (size_t i = 0; i < noisy.t.size(); ++i) {
    const auto t = static_cast<size_t>(noisy.t[i]);
    for (int64_t k = 0; k < noisy.texts.sequences.lengths[i]; ++k, ++row) {
      d.t.push_back(noisy.t[i]);
      d.alpha.push_back(std::sqrt(model.process.schedule.alpha_bar[t]));
      d.sigma.push_back(std::sqrt(model.process.schedule.noise[t]));
      d.embedded.push_back(table[static_cast<size_t>(d.ids[row])]);
      d.x_0.emplace_back();
      d.x_t.emplace_back();
      for (size_t c = 0; c < kDimension; ++c) {
        d.x_0[row].push_back(d.embedded[row][c] + model.process.sigma_0 * noise_0[row][c]);
        d.x_t[row].push_back(d.alpha[row] * d.x_0[row][c] + d.sigma[row] * d.noise[row][c]);
      }
    }
  }
  return d;
}

NoisyRows asked(const DiffusionLm& model, const NoisyTexts& noisy, const Drawn& d) {
  std::vector<double> x_t;
  for (const auto& row : d.x_t) x_t.insert(x_t.end(), row.begin(), row.end());
  std::vector<NoiseLevel> levels;
  for (const int32_t t : noisy.t) levels.push_back(word_level(model.process, t));
  return {Tensor::from(x_t, {std::ssize(d.x_t), kDimension}), noisy.texts.sequences, levels};
}

double prior_of(const DiffusionLm& model, const Drawn& d) {
  double sum = 0;
  for (const auto& row : d.x_0) {
    for (const double x : row) sum += model.process.schedule.alpha_bar.back() * x * x;
  }
  return sum / static_cast<double>(d.x_0.size() * kDimension);
}

}  // namespace

TEST_CASE("the end-to-end loss is the sum of section 4.1, for x_0, epsilon and v") {
  const nn_test::ThreadScope one(1);
  for (const Parameterisation kind :
       {Parameterisation::x_0, Parameterisation::epsilon, Parameterisation::v}) {
    const DiffusionLm model = tiny_model(kind);
    Generator generator(1);
    WordNetwork network(tiny_options(WordOutput::vector), tiny_config(), generator);
    network.to(Dtype::float64);
    const NoisyTexts noisy = tiny_texts();
    const Drawn d = drawn_of(model, network, noisy);
    const Matrix output = matrix(network.vectors(network.hidden(asked(model, noisy, d), {})).value());
    const Matrix table = matrix(network.embeddings().value());
    double squares = 0, rounding = 0;
    for (size_t row = 0; row < output.size(); ++row) {
      const double a = d.alpha[row], s = d.sigma[row];
      for (size_t c = 0; c < kDimension; ++c) {
        const double x_0 = d.x_0[row][c], x_t = d.x_t[row][c], out = output[row][c], e = d.noise[row][c];
        double error = 0;
        if (d.t[row] == 1) {
          const double implied = kind == Parameterisation::x_0       ? out
                                 : kind == Parameterisation::epsilon ? (x_t - s * out) / a
                                                                     : a * x_t - s * out;
          error = implied - d.embedded[row][c];
        } else {
          error = out - (kind == Parameterisation::x_0       ? x_0
                         : kind == Parameterisation::epsilon ? e
                                                             : a * e - s * x_0);
        }
        squares += error * error / static_cast<double>(output.size() * kDimension);
      }
      std::vector<double> logits;  // the bias starts as 0
      for (const auto& word : table) logits.push_back(d.x_0[row][0] * word[0] + d.x_0[row][1] * word[1]);
      rounding += (log_sum_exp(logits) - logits[static_cast<size_t>(d.ids[row])]) / 5;
    }
    const Loss loss = diffusion_lm_loss(model, network, noisy, {});
    CHECK(logged(loss, "squared_error") == doctest::Approx(squares).epsilon(1e-10));
    CHECK(logged(loss, "rounding") == doctest::Approx(rounding).epsilon(1e-10));
    CHECK(logged(loss, "prior") == doctest::Approx(prior_of(model, d)).epsilon(1e-10));
    CHECK(loss.total.value().item() ==
          doctest::Approx(squares + rounding + prior_of(model, d)).epsilon(1e-10));
  }
}

TEST_CASE(
    "with the likelihood the posterior of a network that knows nothing is Bayes' rule, and so is rounding") {
  const DiffusionLm model = tiny_model();
  Generator generator(2);
  WordNetwork network(tiny_options(WordOutput::words_with_likelihood), tiny_config(), generator);
  network.to(Dtype::float64);
  for (const NamedParameter& parameter : network.parameters()) {
    if (parameter.name.starts_with("output")) fill(parameter.variable->value(), 0);
  }
  const NoisyTexts noisy = tiny_texts();
  const Drawn d = drawn_of(model, network, noisy);
  const NoisyRows input = asked(model, noisy, d);
  const Variable table = network.embeddings();
  const Matrix log_p =
      matrix(log_softmax(network.word_logits(network.hidden(input, {}), input, table).whole()).value());
  const Matrix estimate = matrix(word_estimate(model, network, input));
  const Matrix rounded = matrix(log_softmax(network.rounding_logits(input.x_t, table).whole()).value());
  const Matrix words = matrix(table.value());
  for (size_t row = 0; row < log_p.size(); ++row) {
    const NoiseLevel level = word_level(model.process, d.t[row]);
    const auto posterior = [&](double alpha, double sigma) {
      std::vector<double> log_likelihood;
      for (const auto& word : words) {
        double sum = 0;
        for (size_t c = 0; c < kDimension; ++c)
          sum -= std::pow((d.x_t[row][c] - alpha * word[c]) / sigma, 2) / 2;
        log_likelihood.push_back(sum);
      }
      const double all = log_sum_exp(log_likelihood);
      for (double& value : log_likelihood) value -= all;
      return log_likelihood;
    };
    const std::vector<double> at_t = posterior(level.alpha, level.sigma),
                              at_0 = posterior(1, model.process.sigma_0);
    for (size_t w = 0; w < words.size(); ++w) {
      CHECK(log_p[row][w] == doctest::Approx(at_t[w]).epsilon(1e-8));
      CHECK(rounded[row][w] == doctest::Approx(at_0[w]).epsilon(1e-8));
    }
    for (size_t c = 0; c < kDimension; ++c) {
      double mean = 0;
      for (size_t w = 0; w < words.size(); ++w) mean += std::exp(at_t[w]) * words[w][c];
      CHECK(estimate[row][c] == doctest::Approx(mean).epsilon(1e-8));
    }
  }
}

TEST_CASE("the loss of words is the cross-entropy of their logits, and the rounding's and the prior's") {
  const DiffusionLm model = tiny_model();
  for (const WordOutput output : {WordOutput::words, WordOutput::words_with_likelihood}) {
    Generator generator(3);
    WordNetwork network(tiny_options(output), tiny_config(), generator);
    network.to(Dtype::float64);
    const NoisyTexts noisy = tiny_texts();
    const Drawn d = drawn_of(model, network, noisy);
    const NoisyRows input = asked(model, noisy, d);
    const Variable table = network.embeddings();
    const Matrix log_p =
        matrix(log_softmax(network.word_logits(network.hidden(input, {}), input, table).whole()).value());
    double expected = 0;
    for (size_t row = 0; row < log_p.size(); ++row)
      expected -= log_p[row][static_cast<size_t>(d.ids[row])] / 5;
    const Loss loss = diffusion_lm_loss(model, network, noisy, {});
    CHECK(logged(loss, "cross_entropy") == doctest::Approx(expected).epsilon(1e-9));
    CHECK(logged(loss, "embedding_norm") == doctest::Approx(std::sqrt(kDimension)).epsilon(1e-9));
    CHECK(loss.total.value().item() ==
          doctest::Approx(expected + logged(loss, "rounding") + prior_of(model, d)).epsilon(1e-9));
  }
}

TEST_CASE("gradients reach the embeddings by every way and agree with differences, for every output") {
  for (const WordOutput output : kOutputs) {
    const std::vector<Parameterisation> kinds =
        output == WordOutput::vector
            ? std::vector{Parameterisation::x_0, Parameterisation::epsilon, Parameterisation::v}
            : std::vector{Parameterisation::x_0};
    for (const Parameterisation kind : kinds) {
      const DiffusionLm model = tiny_model(kind);
      Generator generator(4);
      WordNetwork network(tiny_options(output), tiny_config(), generator);
      network.to(Dtype::float64);
      const NoisyTexts noisy = tiny_texts();
      nn_test::check_gradients("diffusion_lm_loss", network, {}, [&](const auto&) {
        return diffusion_lm_loss(model, network, noisy, {}).total;
      });
    }
  }
}

TEST_CASE("an estimate of a vector is the x_0 that belongs to the output, whatever it predicts") {
  for (const Parameterisation kind :
       {Parameterisation::x_0, Parameterisation::epsilon, Parameterisation::v}) {
    const DiffusionLm model = tiny_model(kind);
    Generator generator(6);
    WordNetwork network(tiny_options(WordOutput::vector), tiny_config(), generator);
    network.to(Dtype::float64);
    const NoisyTexts noisy = tiny_texts();
    const Drawn d = drawn_of(model, network, noisy);
    const NoisyRows input = asked(model, noisy, d);
    const Tensor output = network.vectors(network.hidden(input, {})).value();
    const Matrix estimate = matrix(word_estimate(model, network, input));
    for (size_t row = 0; row < estimate.size(); ++row) {
      const NoiseLevel level = noise_level(model.process.schedule, d.t[row]);
      const Matrix expected = matrix(denoised_from(kind, output, input.x_t.value(), level).x_0);
      for (size_t c = 0; c < kDimension; ++c)
        CHECK(estimate[row][c] == doctest::Approx(expected[row][c]).epsilon(1e-7));
    }
  }
}

TEST_CASE("self-conditioning tells the network its estimate, and nothing at first") {
  const DiffusionLm model = tiny_model();
  WordNetworkOptions options = tiny_options(WordOutput::words_with_likelihood);
  options.self_conditioning = true;
  Generator generator(7);
  WordNetwork network(options, tiny_config(), generator);
  NoisyTexts noisy = tiny_texts();
  const double without = diffusion_lm_loss(model, network, noisy, {}).total.value().item();
  noisy.estimates_first = true;
  CHECK(diffusion_lm_loss(model, network, noisy, {}).total.value().item() != without);
  const WordModel as_bound = word_model(model, network);
  const Drawn d = drawn_of(model, network, noisy);
  NoisyRows input = asked(model, noisy, d);
  input.x_t = Variable(cast(input.x_t.value(), Dtype::float32));
  const Tensor first = word_estimate(model, network, input);
  const Tensor twice = as_bound.denoise(input.x_t.value(), input.sequences, input.levels);
  CHECK(twice.to_vector<float>() != first.to_vector<float>());
  input.previous = first;
  CHECK(twice.to_vector<float>() == word_estimate(model, network, input).to_vector<float>());
}

TEST_CASE("texts are padded to the model's length, and longer ones are refused") {
  const std::vector<int32_t> texts[] = {{3, 1}, {2}};
  const TextBatch batch = TextBatch::of(texts);
  const TextBatch padded = padded_texts(batch, 3, 7);
  CHECK(padded.ids.to_vector<int32_t>() == std::vector<int32_t>{3, 1, 7, 2, 7, 7});
  CHECK(padded.sequences.lengths == std::vector<int64_t>{3, 3});
  CHECK(padded_texts(batch, 3, -1).ids.to_vector<int32_t>() == std::vector<int32_t>{3, 1, 2});
  CHECK_THROWS_WITH(padded_texts(batch, 1, 7), "diffusion_lm: a text has 2 tokens, and the model takes 1");
}

TEST_CASE(
    "anisotropy is the mean cosine of two words: 1 where all point one way, 0 on average in all directions") {
  const Tensor one_way = Tensor::from(std::vector<double>{1, 1, 2, 2, 0.5, 0.5}, {3, 2});
  CHECK(embedding_statistics(one_way).anisotropy.item() == doctest::Approx(1));
  CHECK(embedding_statistics(one_way).mean_norm.item() == doctest::Approx(3.5 * std::sqrt(2.0) / 3));
  const Tensor cross = Tensor::from(std::vector<double>{1, 0, 0, 1, -1, 0, 0, -1}, {4, 2});
  CHECK(embedding_statistics(cross).anisotropy.item() == doctest::Approx(-1.0 / 3));
}

TEST_CASE("embeddings that point one way, or lie within their noise, are warned of, and others not") {
  const Tensor apart = Tensor::from(std::vector<double>{1, 0, 0, 1, -1, 0, 0, -1}, {4, 2});
  CHECK(embedding_warnings(apart, 0.1).empty());
  CHECK(embedding_warnings(apart, 0.4).size() == 1);  // 4 * 0.4 > sqrt(2)
  const Tensor one_way = Tensor::from(std::vector<double>{1, 1, 2, 2, 4, 4}, {3, 2});
  REQUIRE(embedding_warnings(one_way, 0.1).size() == 1);
  CHECK(embedding_warnings(one_way, 0.1)[0] ==
        "the embeddings have collapsed into one direction: two words have a mean cosine of 1.000");
}

}  // namespace haze

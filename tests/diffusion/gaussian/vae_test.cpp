#include "haze/diffusion/gaussian/vae.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include "nn/networks.h"

namespace haze {
namespace {

Tensor row(const std::vector<double>& numbers) {
  return Tensor::from(numbers, {1, std::ssize(numbers)});
}

// `count` copies of each of the rows, one after another.
Tensor repeated(const Tensor& rows, int64_t count) {
  return contiguous(reshape(expand(unsqueeze(rows, 1), {rows.size(0), count, rows.size(1)}),
                            {rows.size(0) * count, rows.size(1)}));
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_error_of(const std::vector<double>& values) {
  const double mean = mean_of(values), n = static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1) / n);
}

/// Probabilistic PCA (Tipping and Bishop 1999): p(z) = N(0, I), p(x | z) = N(W z + b, s^2 I) in three
/// dimensions from two. The columns of W are orthogonal, so that the posterior is a diagonal Gaussian, as the
/// encoder is.
struct LinearGaussian {
  double weight[3][2] = {{0.8, -0.3}, {0.6, 0.4}, {0.0, 1.2}};
  double bias[3] = {0.5, -1, 0.2};
  double variance = 0.3;  // s^2

  double column_square(int j) const {
    double sum = 0;
    for (const auto& of_x : weight) sum += of_x[j] * of_x[j];
    return sum;
  }

  /// The variance of z_j given x, and its mean.
  double posterior_variance(int j) const { return variance / (column_square(j) + variance); }
  double posterior_mean(const double* x, int j) const {
    double sum = 0;
    for (int i = 0; i < 3; ++i) sum += weight[i][j] * (x[i] - bias[i]);
    return sum / (column_square(j) + variance);
  }

  /// -log N(x; b, W W^T + s^2 I). W's columns are eigenvectors of the covariance.
  double nats(const double* x) const {
    double squares = 0, log_determinant = 0, left = 0;
    for (int i = 0; i < 3; ++i) left += (x[i] - bias[i]) * (x[i] - bias[i]);
    for (int j = 0; j < 2; ++j) {
      double product = 0;
      for (int i = 0; i < 3; ++i) product += weight[i][j] * (x[i] - bias[i]);
      const double along = product * product / column_square(j);
      squares += along / (column_square(j) + variance);
      left -= along;
      log_determinant += std::log(column_square(j) + variance);
    }
    squares += left / variance;
    log_determinant += std::log(variance);
    return 0.5 * (squares + log_determinant + 3 * std::log(2 * M_PI));
  }

  VaeReconstruction reconstruction() const {
    return [this](const Tensor& x, const Variable& z) {
      const Tensor w = Tensor::from(std::vector<double>(&weight[0][0], &weight[0][0] + 6), {3, 2});
      const Variable mean = linear(z, w, Tensor::from(std::vector<double>(bias, bias + 3), {3}));
      return log_density({mean, full(x.shape(), std::log(variance), Dtype::float64)}, x);
    };
  }

  /// The posterior, its means moved by `shift` and its variances multiplied by `stretch`.
  VaeEncoder encoder(double shift = 0, double stretch = 1) const {
    return [this, shift, stretch](const Tensor& x) -> DiagonalGaussian {
      const std::vector<double> values = x.to_vector<double>();
      std::vector<double> means, log_variances;
      for (size_t at = 0; at < values.size(); at += 3) {
        for (int j = 0; j < 2; ++j) {
          means.push_back(posterior_mean(&values[at], j) + shift);
          log_variances.push_back(std::log(stretch * posterior_variance(j)));
        }
      }
      const Shape shape{x.size(0), 2};
      return {Tensor::from(means, shape), Tensor::from(log_variances, shape)};
    };
  }

  /// KL(q || posterior) of encoder(shift, stretch), the same for every x.
  double gap(double shift, double stretch) const {
    double sum = 0;
    for (int j = 0; j < 2; ++j)
      sum += 0.5 * (stretch + shift * shift / posterior_variance(j) - 1 - std::log(stretch));
    return sum;
  }
};

const Tensor& linear_gaussian_points() {
  static const Tensor x =
      Tensor::from(std::vector<double>{0.3, -0.4, 1.5, 2, 0.1, -0.7, 0.5, -1, 0.2}, {3, 3});
  return x;
}

std::vector<double> exact_nats(const LinearGaussian& model) {
  const std::vector<double> x = linear_gaussian_points().to_vector<double>();
  return {model.nats(&x[0]), model.nats(&x[3]), model.nats(&x[6])};
}

/// Four draws for each of three examples whose moments up to the second are those of N(0, I): the mean of a
/// quadratic over them is its expectation, exactly.
Tensor moment_matching_noise() {
  std::vector<double> epsilon;
  for (const double first : {-1, 1}) {
    for (const double second : {-1, 1}) {
      for (int example = 0; example < 3; ++example) epsilon.insert(epsilon.end(), {first, second});
    }
  }
  return Tensor::from(epsilon, {4, 3, 2});
}

}  // namespace

TEST_CASE("KL(q || N(0, I)) in closed form is the integral of q log(q / p)") {
  const std::vector<double> means = {0, 1.3, -0.4, 2}, log_variances = {0, -1.5, 0.8, -4};
  double expected = 0;
  for (size_t j = 0; j < means.size(); ++j) {
    const double deviation = std::exp(0.5 * log_variances[j]);
    const double step = deviation / 200;
    for (double z = means[j] - 12 * deviation; z < means[j] + 12 * deviation; z += step) {
      const double u = (z - means[j]) / deviation;
      const double log_q = -0.5 * (u * u + std::log(2 * M_PI)) - std::log(deviation);
      const double log_p = -0.5 * (z * z + std::log(2 * M_PI));
      expected += std::exp(log_q) * (log_q - log_p) * step;
    }
  }
  const Variable kl = kl_to_standard_normal({row(means), row(log_variances)});
  CHECK(kl.shape() == Shape{1});
  CHECK(kl.value().item() == doctest::Approx(expected).epsilon(1e-10));
  CHECK(kl_to_standard_normal({row({0, 0}), row({0, 0})}).value().item() == 0);
}

TEST_CASE("reparameterised draws give the gradients of a quadratic's expectation, within 4 standard errors") {
  // E[a z^2 + b z] = a (mu^2 + sigma^2) + b mu: its gradients are 2 a mu + b and a sigma^2.
  constexpr double kA = 0.7, kB = -0.4;
  constexpr int64_t kDraws = 100000;
  for (const auto& [mean, log_variance] : {std::pair{0.9, -1.0}, {-2.0, 0.5}}) {
    const Variable means = Variable::leaf(full({kDraws, 1}, mean, Dtype::float64));
    const Variable log_variances = Variable::leaf(full({kDraws, 1}, log_variance, Dtype::float64));
    Generator generator(1);
    const Tensor epsilon = normal({kDraws, 1}, generator, 0, 1, Dtype::float64);
    const Variable z = reparameterise({means, log_variances}, epsilon);
    backward(sum(kA * square(z) + kB * z));
    const std::vector<double> by_mean = means.gradient().to_vector<double>();
    const std::vector<double> by_log_variance = log_variances.gradient().to_vector<double>();
    CHECK(std::abs(mean_of(by_mean) - (2 * kA * mean + kB)) < 4 * standard_error_of(by_mean));
    CHECK(std::abs(mean_of(by_log_variance) - kA * std::exp(log_variance)) <
          4 * standard_error_of(by_log_variance));
  }
}

TEST_CASE("with the posterior as encoder the bound of a linear Gaussian model is its likelihood") {
  const LinearGaussian model;
  const std::vector<double> exact = exact_nats(model);
  const VaeTerms terms =
      vae_terms(model.encoder(), model.reconstruction(), linear_gaussian_points(), moment_matching_noise());
  const std::vector<double> bound = (terms.kl - terms.log_likelihood).value().to_vector<double>();
  for (size_t i = 0; i < 3; ++i) CHECK(bound[i] == doctest::Approx(exact[i]).epsilon(1e-10));
  // Then p(x, z) / q(z | x) is p(x), whatever z.
  Generator generator(2);
  for (const int64_t samples : {1, 7}) {
    const Tensor epsilon = normal({samples, 3, 2}, generator, 0, 1, Dtype::float64);
    const std::vector<double> nats =
        importance_weighted_nats(model.encoder(), model.reconstruction(), linear_gaussian_points(), epsilon);
    for (size_t i = 0; i < 3; ++i) CHECK(nats[i] == doctest::Approx(exact[i]).epsilon(1e-10));
  }
}

TEST_CASE("with another encoder the bound is loose by KL(q || posterior)") {
  const LinearGaussian model;
  const std::vector<double> exact = exact_nats(model);
  for (const auto& [shift, stretch] : {std::pair{0.5, 1.0}, {0.0, 2.5}, {-0.3, 0.2}}) {
    const VaeTerms terms = vae_terms(model.encoder(shift, stretch), model.reconstruction(),
                                     linear_gaussian_points(), moment_matching_noise());
    const std::vector<double> bound = (terms.kl - terms.log_likelihood).value().to_vector<double>();
    for (size_t i = 0; i < 3; ++i)
      CHECK(bound[i] == doctest::Approx(exact[i] + model.gap(shift, stretch)).epsilon(1e-10));
  }
}

TEST_CASE("the importance-weighted bound begins at the ELBO and falls to -log p (4 standard errors)") {
  const LinearGaussian model;
  constexpr double kShift = 0.5, kStretch = 1.5;
  constexpr int64_t kRepeats = 20000;
  const Tensor x = repeated(slice(linear_gaussian_points(), 0, 0, 1), kRepeats);
  const double exact = exact_nats(model)[0];
  Generator generator(3);
  double above = exact + model.gap(kShift, kStretch);  // the ELBO's
  for (const int64_t samples : {1, 2, 5, 50}) {
    const Tensor epsilon = normal({samples, kRepeats, 2}, generator, 0, 1, Dtype::float64);
    const std::vector<double> nats =
        importance_weighted_nats(model.encoder(kShift, kStretch), model.reconstruction(), x, epsilon);
    const double mean = mean_of(nats), error = standard_error_of(nats);
    CAPTURE(samples);
    CAPTURE(mean);
    CHECK(mean > exact - 4 * error);
    if (samples == 1) {
      CHECK(std::abs(mean - above) < 4 * error);
    } else {
      CHECK(mean < above - 4 * error);
    }
    above = mean;
  }
  CHECK(above < exact + 0.1 * model.gap(kShift, kStretch));
}

TEST_CASE("the mean over several draws of z is the mean of their single estimates") {
  const LinearGaussian model;
  Generator generator(4);
  const Tensor epsilon = normal({3, 3, 2}, generator, 0, 1, Dtype::float64);
  const auto likelihood_of = [&](const Tensor& noise) {
    return vae_terms(model.encoder(0.4), model.reconstruction(), linear_gaussian_points(), noise)
        .log_likelihood.value()
        .to_vector<double>();
  };
  std::vector<double> expected(3);
  for (int64_t draw = 0; draw < 3; ++draw) {
    const std::vector<double> one = likelihood_of(slice(epsilon, 0, draw, draw + 1));
    for (size_t i = 0; i < 3; ++i) expected[i] += one[i] / 3;
  }
  CHECK(nn_test::largest_difference(likelihood_of(epsilon), expected) < 1e-12);
}

TEST_CASE("noise of another shape is refused") {
  const LinearGaussian model;
  const Tensor wrong = zeros({1, 2, 2}, Dtype::float64);
  CHECK_THROWS_WITH_AS(
      vae_terms(model.encoder(), model.reconstruction(), linear_gaussian_points(), wrong),
      "vae_terms: noise of shape [1, 2, 2] for 3 examples, it takes [draws, examples, latent]", Error);
  CHECK_THROWS_AS(
      importance_weighted_nats(model.encoder(), model.reconstruction(), linear_gaussian_points(), wrong),
      Error);
}

}  // namespace haze

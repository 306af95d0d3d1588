#include "haze/diffusion/gaussian/ddpm_bound.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "haze/diffusion/gaussian/discretized_gaussian.h"
#include "haze/diffusion/gaussian/per_example.h"
#include "haze/diffusion/random_times.h"

namespace haze {
namespace {

// [n, ...] -> [n]
Variable sum_of_example(const Variable& x) {
  return sum(reshape(x, {x.size(0), -1}), {1});
}

// The least log sigma_t^2 of a reverse step: that of the posterior, and at t = 1, where it is 0, that of t
// = 2.
double least_log_variance(const NoiseSchedule& schedule, size_t t) {
  return std::log(reverse_variance(schedule, ReverseVariance::small, static_cast<int>(t)));
}

// log sigma_t^2 less the least; broadcasts to x_t.
Variable excess_log_variance(const GaussianDiffusion& diffusion, const DdpmPrediction& prediction,
                             const NoisyValues& noisy) {
  const NoiseSchedule& schedule = diffusion.schedule;
  const Tensor range = at_steps(noisy.t, noisy.x_t, [&](size_t t) {
    const double greatest =
        diffusion.variance == ReverseVariance::learned
            ? schedule.beta[t]
            : reverse_variance(schedule, diffusion.variance, static_cast<int>(t), diffusion.value_levels);
    return std::log(greatest) - least_log_variance(schedule, t);
  });
  if (diffusion.variance != ReverseVariance::learned) return range;
  if (!prediction.variance_share.defined()) fail("ddpm: the network learns no variance");
  return Variable(range) * prediction.variance_share;  // Nichol and Dhariwal 2021, equation 15
}

// mu_tilde - mu_theta is this many times the error of the prediction, but for its sign: x_0_coefficient times
// the error of x_0, which is sigma_t / alpha_t times that of epsilon and sigma_t times that of v.
double mean_error_scale(const GaussianDiffusion& diffusion, size_t t) {
  const NoiseSchedule& schedule = diffusion.schedule;
  const double of_x_0 = gaussian_posterior(schedule, static_cast<int>(t)).x_0_coefficient;
  switch (diffusion.prediction) {
    case Parameterisation::epsilon:
      return of_x_0 * std::sqrt(schedule.noise[t] / schedule.alpha_bar[t]);
    case Parameterisation::x_0:
      return of_x_0;
    case Parameterisation::v:
      return of_x_0 * std::sqrt(schedule.noise[t]);
  }
  fail("ddpm: unknown parameterisation");
}

// The terms of t > 1, and that of t = 1 as a density. With d = log sigma_t^2 - log beta_tilde_t a number's KL
// is (d - 1 + e^-d + error^2 / sigma_t^2) / 2, of which nothing cancels when it is small; a density has no
// e^-d - 1, and log(2 pi beta_tilde) instead.
Variable gaussian_terms(const GaussianDiffusion& diffusion, const Variable& excess,
                        const DdpmPrediction& prediction, const NoisyValues& noisy) {
  const NoiseSchedule& schedule = diffusion.schedule;
  const Tensor& x = noisy.x_t;
  const Tensor is_kl = at_steps(noisy.t, x, [](size_t t) { return t > 1 ? 1.0 : 0.0; });
  const Tensor of_density = at_steps(noisy.t, x, [&](size_t t) {
    return t > 1 ? 0.0 : std::log(2 * std::numbers::pi) + least_log_variance(schedule, t);
  });
  const Tensor scale = at_steps(noisy.t, x, [&](size_t t) {
    return mean_error_scale(diffusion, t) * std::exp(-0.5 * least_log_variance(schedule, t));
  });
  const Variable error = Variable(scale) * (prediction.value - Variable(prediction_target(diffusion, noisy)));
  const Variable of_variance =
      excess + Variable(is_kl) * unary(UnaryOp::expm1, -excess) + Variable(of_density);
  return sum_of_example(0.5 * (of_variance + square(error) * exp(-excess)));
}

// With L_0 of the discretised decoder in the place of the density's at t = 1. There mu_theta is x_0 as the
// network sees it, since q(x_0 | x_1, x_0) is certain.
Variable with_discretized_decoder(const GaussianDiffusion& diffusion, const Variable& terms,
                                  const Variable& excess, const DdpmPrediction& prediction,
                                  const NoisyValues& noisy) {
  std::vector<int32_t> rows;
  const std::vector<int32_t> steps = noisy.t.to_vector<int32_t>();
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] == 1) rows.push_back(static_cast<int32_t>(i));
  }
  if (rows.empty()) return terms;
  const Tensor index = Tensor::from(rows, {std::ssize(rows)}, noisy.x_t.device());
  const auto chosen = [&](const Variable& x) { return index_select(x, 0, index); };
  const Variable mean = chosen(predicted_x_0(diffusion, prediction.value, noisy.x_t, noisy.t));
  const Variable log_variance = chosen(excess) + least_log_variance(diffusion.schedule, 1);
  const Tensor x_0 = index_select(noisy.x_0, 0, index);
  const Variable decoder =
      sum_of_example(discretized_gaussian_nats(x_0, mean, log_variance, diffusion.value_levels));
  const Tensor later = compare(CompareOp::greater, noisy.t, ones_like(noisy.t));
  const Tensor others = cast(to(later, noisy.x_t.device()), noisy.x_t.dtype());
  return terms * Variable(others) + index_scatter(decoder, 0, index, terms.shape());
}

}  // namespace

std::vector<double> ddpm_prior_nats(const NoiseSchedule& schedule, const Tensor& x_0) {
  const double alpha_bar = schedule.alpha_bar.back(), noise = schedule.noise.back();
  const double per_number = 0.5 * (noise - 1 - std::log(noise)) * numbers_per_example(x_0);
  std::vector<double> nats =
      sum_of_example(square(Variable(cast(x_0, Dtype::float64)))).value().to_vector<double>();
  for (double& value : nats) value = per_number + 0.5 * alpha_bar * value;
  return nats;
}

Variable ddpm_terms(const GaussianDiffusion& diffusion, const DdpmPrediction& prediction,
                    const NoisyValues& noisy) {
  const Variable excess = excess_log_variance(diffusion, prediction, noisy);
  const Variable terms = gaussian_terms(diffusion, excess, prediction, noisy);
  if (diffusion.value_levels == 0) return terms;
  return with_discretized_decoder(diffusion, terms, excess, prediction, noisy);
}

std::vector<double> ddpm_term_nats(const DdpmNetwork& network, const GaussianDiffusion& diffusion,
                                   const Tensor& x_0, const Tensor& t, Generator& generator) {
  const NoGradient scope;
  NoisyValues noisy = add_noise(diffusion.schedule, x_0, t, generator);
  DdpmPrediction prediction = network(noisy.x_t, cast(t, Dtype::float32));
  for (Tensor* tensor : {&noisy.x_0, &noisy.x_t, &noisy.noise}) *tensor = cast(*tensor, Dtype::float64);
  prediction.value = cast(prediction.value, Dtype::float64);
  if (prediction.variance_share.defined())
    prediction.variance_share = cast(prediction.variance_share, Dtype::float64);
  if (diffusion.value_levels == 0)
    return ddpm_terms(diffusion, prediction, noisy).value().to_vector<double>();
  prediction.value = unary(UnaryOp::clamp, predicted_x_0(diffusion, prediction.value, noisy.x_t, t), -1, 1);
  GaussianDiffusion of_x_0 = diffusion;
  of_x_0.prediction = Parameterisation::x_0;
  return ddpm_terms(of_x_0, prediction, noisy).value().to_vector<double>();
}

std::vector<double> bound_step_probabilities(const NoiseSchedule& schedule) {
  std::vector<double> p{0};  // of t = 1
  for (size_t t = 2; t < schedule.beta.size(); ++t)
    p.push_back(schedule.beta[t] * schedule.alpha_bar[t] / (schedule.alpha[t] * schedule.noise[t]));
  const double total = std::accumulate(p.begin(), p.end(), 0.0), others = schedule.steps() - 1;
  constexpr double kUniformShare = 0.25;
  for (size_t i = 1; i < p.size(); ++i) p[i] = (1 - kUniformShare) * p[i] / total + kUniformShare / others;
  return p;
}

std::vector<double> ddpm_bound_nats(const DdpmNetwork& network, const GaussianDiffusion& diffusion,
                                    const Tensor& x_0, Generator& generator) {
  const int64_t n = x_0.size(0);
  const std::vector<double> p = bound_step_probabilities(diffusion.schedule);
  const std::vector<int32_t> t = draw_steps(n, p, /*antithetic=*/true, generator);
  const auto terms_at = [&](const Tensor& steps) {
    return ddpm_term_nats(network, diffusion, x_0, steps, generator);
  };
  std::vector<double> nats = ddpm_prior_nats(diffusion.schedule, x_0);    // L_T
  const std::vector<double> decoder = terms_at(ones({n}, Dtype::int32));  // L_0
  const std::vector<double> terms = terms_at(Tensor::from(t, {n}));       // L_{t-1}
  for (size_t i = 0; i < nats.size(); ++i)
    nats[i] += decoder[i] + terms[i] / p[static_cast<size_t>(t[i]) - 1];
  return nats;
}

}  // namespace haze

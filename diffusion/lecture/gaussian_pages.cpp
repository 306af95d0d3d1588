#include "haze/diffusion/lecture/gaussian_pages.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>

#include "haze/diffusion/gaussian/ddpm_bound.h"
#include "haze/engine/memory.h"

namespace haze {
namespace {

NoiseSchedule schedule_of(const LectureQuestion& question) {
  return noise_schedule_called(question.schedule, question.steps);
}

// Throws Error where a step is not in first..T, or not larger than the one before.
void check_steps(const LectureQuestion& question, int first) {
  if (question.t.empty()) fail("there is no step t to show");
  for (size_t i = 0; i < question.t.size(); ++i) {
    const int t = question.t[i];
    if (t < first || t > question.steps) fail("step t = {} is not in {}..{}", t, first, question.steps);
    if (i > 0 && t <= question.t[i - 1])
      fail("step t = {} does not come after {}: the steps have to rise", t, question.t[i - 1]);
  }
}

// Throws Error where the longest path x_1..x_t would take more memory than a page may.
void check_path(const LectureQuestion& question) {
  constexpr double kMostBytes = 1e9;
  const double bytes = static_cast<double>(question.t.back()) * static_cast<double>(question.x_0.elements()) *
                       static_cast<double>(size_of(question.x_0.dtype()));
  if (bytes > kMostBytes) {
    fail("the path to t = {} takes {:.1f} GB, and at most {:.0f} GB is kept: ask for an earlier step",
         question.t.back(), bytes / 1e9, kMostBytes / 1e9);
  }
}

/// What a piece of work took.
struct Cost {
  double milliseconds = 0, megabytes = 0;
};

// Runs `work`; the memory is the most that was in use at a time beyond what was before.
template <typename Work>
Cost cost_of(Work work) {
  reset_peak_memory();
  const size_t before = memory_statistics().in_use;
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
  return {time.count(), static_cast<double>(memory_statistics().peak - before) / 1e6};
}

double mean_of(const Tensor& x) {
  return reduce(ReduceOp::mean, cast(x, Dtype::float64)).item();
}

double deviation_of(const Tensor& x) {
  return std::sqrt(reduce(ReduceOp::variance, cast(x, Dtype::float64)).item());
}

std::string forward_row(int t, const NoiseSchedule& schedule, const Tensor& chain, const Cost& chain_cost,
                        const Tensor& closed, const Cost& closed_cost) {
  const auto i = static_cast<size_t>(t);
  return fmt::format(
      "{:>5} {:>9.5f} {:>9.5f} |{:>8.4f} {:>7.4f} {:>9.2f} {:>8.2f} |{:>8.4f} {:>7.4f} {:>7.2f} {:>6.2f}\n",
      t, std::sqrt(schedule.alpha_bar[i]), std::sqrt(schedule.noise[i]), mean_of(chain), deviation_of(chain),
      chain_cost.milliseconds, chain_cost.megabytes, mean_of(closed), deviation_of(closed),
      closed_cost.milliseconds, closed_cost.megabytes);
}

// L_{t-1} of one number whose noise the network misses by `error`.
double term_of_error(const NoiseSchedule& schedule, ReverseVariance kind, int t, double error) {
  const GaussianDiffusion diffusion{.schedule = schedule, .variance = kind};
  NoisyValues noisy;
  noisy.x_0 = noisy.x_t = noisy.noise = zeros({1, 1}, Dtype::float64);
  noisy.t = full({1}, t, Dtype::int32);
  return ddpm_terms(diffusion, {full({1, 1}, error, Dtype::float64), {}}, noisy).value().item();
}

constexpr const char* kForwardHeading =
    "                          |      one step at a time, path kept    |          in one go\n"
    "    t    scale     noise  |   mean    std.        ms       MB     |   mean    std.      ms     MB\n";

}  // namespace

LectureAnswer forward_process(const LectureQuestion& question) {
  check_steps(question, 0);
  if (!question.x_0.defined() || question.x_0.elements() == 0) fail("there are no data to add noise to");
  check_path(question);
  const NoiseSchedule schedule = schedule_of(question);
  LectureAnswer answer{.text = kForwardHeading, .noised = {}};
  for (const int t : question.t) {
    Generator generator(question.seed);
    Tensor chain = question.x_0, closed = question.x_0;
    const Cost chain_cost = cost_of([&] {
      std::vector<Tensor> path;
      for (int s = 1; s <= t; ++s) path.push_back(chain = add_one_step(schedule, chain, s, generator));
    });
    const Cost closed_cost = cost_of([&] {
      if (t > 0) closed = add_noise(schedule, closed, full({closed.size(0)}, t, Dtype::int32), generator).x_t;
    });
    answer.text += forward_row(t, schedule, chain, chain_cost, closed, closed_cost);
    answer.noised.push_back(chain);
    answer.noised.push_back(closed);
  }
  return answer;
}

LectureAnswer posterior_coefficients(const LectureQuestion& question) {
  check_steps(question, 1);
  const NoiseSchedule schedule = schedule_of(question);
  LectureAnswer answer;
  answer.text = "    t     beta_t     alpha_bar_t    of x_0      of x_t    beta_tilde_t\n";
  for (const int t : question.t) {
    const auto i = static_cast<size_t>(t);
    const GaussianPosterior posterior = gaussian_posterior(schedule, t);
    answer.text += fmt::format("{:>5}  {:>9.6f}  {:>12.6g}  {:>10.6f}  {:>10.6f}  {:>12.6g}\n", t,
                               schedule.beta[i], schedule.alpha_bar[i], posterior.x_0_coefficient,
                               posterior.x_t_coefficient, posterior.variance);
  }
  return answer;
}

LectureAnswer objective_weights(const LectureQuestion& question) {
  check_steps(question, 2);
  const NoiseSchedule schedule = schedule_of(question);
  LectureAnswer answer;
  answer.text =
      "      | sigma_t^2 = beta_t     | sigma_t^2 = beta_tilde_t\n"
      "    t |       w_t        C_t   |       w_t        C_t\n";
  for (const int t : question.t) {
    answer.text += fmt::format("{:>5}", t);
    for (const ReverseVariance kind : {ReverseVariance::large, ReverseVariance::small}) {
      const double constant = term_of_error(schedule, kind, t, 0);
      answer.text +=
          fmt::format(" | {:>10.5g} {:>10.3g} ", term_of_error(schedule, kind, t, 1) - constant, constant);
    }
    answer.text += "\n";
  }
  return answer;
}

}  // namespace haze

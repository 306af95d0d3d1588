#include <array>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "diffusion/toy_bounds.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr MaskDraw kDraws[] = {MaskDraw::independent, MaskDraw::exact_count, MaskDraw::beta};

// Those of the other tests, and two so steep at one end that nearly all mask probabilities lie in a tiny
// stretch of time.
std::vector<MaskingSchedule> all_schedules() {
  std::vector<MaskingSchedule> schedules = continuous_schedules();
  schedules.emplace_back(ContinuousSchedule::polynomial, 0.1);
  schedules.emplace_back(ContinuousSchedule::polynomial, 1000);
  return schedules;
}

// E over the language of bound(text).
template <typename Bound>
double expectation(Bound&& bound) {
  double sum = 0;
  for (int i = 0; i < kTexts; ++i) sum += language()[static_cast<size_t>(i)] * bound(text(i));
  return sum;
}

}  // namespace

TEST_CASE("the continuous bound is the same for every schedule: the integral is the sum over subsets") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (const Text& x : {text(0), text(7), text(20), Text{2, 1}, Text{0}}) {
      // Over t, as equation 10 has it, by the midpoint rule.
      constexpr int kPoints = 2000;
      double over_time = 0;
      for (int i = 0; i < kPoints; ++i) {
        const double t = (i + 0.5) / kPoints;
        over_time += schedule.loss_weight(t) *
                     expected_cross_entropy(denoiser, x, schedule.mask_probability(t), t) / kPoints;
      }
      CHECK(over_time == doctest::Approx(continuous_bound(denoiser, x)).epsilon(1e-5));
      CHECK(integrated_bound(denoiser, x, schedule) ==
            doctest::Approx(continuous_bound(denoiser, x)).epsilon(1e-5));
    }
  }
}

TEST_CASE("the continuous bound is the mean over all orders of predicting one token after the other") {
  constexpr std::array<std::array<int, 3>, 6> kOrders = {
      {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};
  const TabularDenoiser exact = TabularDenoiser::exact(), wrong = TabularDenoiser::wrong();
  for (int i = 0; i < kTexts; ++i) {
    const Text x = text(i);
    double mean = 0;
    for (const auto& order : kOrders) {
      unsigned masked = 7;
      for (int place : order) {
        const auto target = static_cast<size_t>(x[static_cast<size_t>(place)]);
        mean -= std::log(wrong.predict(with_masks(x, masked), place, 0)[target]) / 6;
        masked &= ~(1u << place);
      }
    }
    CHECK(std::abs(continuous_bound(wrong, x) - mean) < 1e-12);
    // With the true conditionals each order is the chain rule, so the bound is -log p(x) itself.
    CHECK(std::abs(continuous_bound(exact, x) + std::log(language()[static_cast<size_t>(i)])) < 1e-12);
  }
}

TEST_CASE(
    "no bound lies below the entropy: the perfect denoiser reaches it in continuous time, others do not") {
  const TabularDenoiser exact = TabularDenoiser::exact(), wrong = TabularDenoiser::wrong();
  const double entropy = language_entropy();
  CHECK(expectation([&](const Text& x) { return continuous_bound(exact, x); }) ==
        doctest::Approx(entropy).epsilon(1e-12));
  CHECK(expectation([&](const Text& x) { return continuous_bound(wrong, x); }) > entropy + 0.1);
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    const DiscreteNoise noise = discrete_noise(kind, 10);
    CHECK(expectation([&](const Text& x) { return discrete_bound(exact, x, noise); }) > entropy + 1e-3);
  }
}

TEST_CASE(
    "every draw has the sum over subsets as its mean, every schedule, ragged texts (4 standard errors)") {
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const double truth = sum_over(texts, [&](const Text& x) { return continuous_bound(denoiser, x); });
  uint64_t seed = 10;
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (MaskDraw draw : kDraws) {
      Generator generator(++seed);
      const BoundEstimate estimate = estimate_bound(DrawnLikelihood(denoiser, schedule, {draw}), {&batch, 1},
                                                    {.passes = 1000}, generator);
      CHECK(estimate.standard_error > 0);
      CHECK(estimate.standard_error < 0.02 * truth);
      CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
      CHECK(estimate.units == tokens_of(texts));
      CHECK(estimate.examples == std::ssize(texts));
    }
  }
}

TEST_CASE("counts have less noise than independent masks") {
  const Batch batch = batch_of(all_texts());
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  Generator generator(20);
  const auto error_with = [&](MaskDraw draw) {
    return estimate_bound(DrawnLikelihood(denoiser, MaskingSchedule(), {draw}), {&batch, 1}, {.passes = 500},
                          generator)
        .standard_error;
  };
  CHECK(error_with(MaskDraw::exact_count) < 0.7 * error_with(MaskDraw::independent));
  CHECK(error_with(MaskDraw::beta) < 0.7 * error_with(MaskDraw::independent));
}

TEST_CASE(
    "a bound is unbiased when texts of one kind come first, in one batch or several (4 standard errors)") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  // A kind whose loss is largest with few masks, then one whose loss is largest with many.
  const std::vector<Text> texts = {text(4), text(4), text(4), {1}, {1}, text(24), text(24), text(24)};
  const double truth = sum_over(texts, [&](const Text& x) { return continuous_bound(denoiser, x); });
  for (size_t size : {8, 3}) {
    std::vector<Batch> batches;
    for (size_t first = 0; first < texts.size(); first += size) {
      batches.push_back(batch_of(std::span(texts).subspan(first, std::min(size, texts.size() - first))));
    }
    for (MaskDraw draw : kDraws) {
      Generator generator(21);
      const BoundEstimate estimate = estimate_bound(DrawnLikelihood(denoiser, MaskingSchedule(), {draw}),
                                                    batches, {.passes = 4000}, generator);
      CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
    }
  }
}

TEST_CASE("the bound of a denoiser that depends on time is the integral over p, every schedule (4 sigma)") {
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong(2);
  uint64_t seed = 30;
  for (const MaskingSchedule& schedule : all_schedules()) {
    Generator generator(++seed);
    const double truth =
        sum_over(texts, [&](const Text& x) { return integrated_bound(denoiser, x, schedule); });
    const BoundEstimate estimate =
        estimate_bound(MdlmLikelihood(denoiser, schedule), {&batch, 1}, {.passes = 1000}, generator);
    CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
    CHECK(estimate.standard_error < 0.005 * truth);
  }
}

TEST_CASE(
    "1000 estimates by counts spread less than half as far as by times, a twentieth where time is steep") {
  struct Row {
    MaskingSchedule schedule;
    double largest_ratio;  // of the spreads
  };
  const std::vector<Row> rows = {{MaskingSchedule(ContinuousSchedule::log_linear), 0.5},
                                 {MaskingSchedule(ContinuousSchedule::cosine), 0.5},
                                 {MaskingSchedule(ContinuousSchedule::polynomial, 3), 0.5},
                                 {MaskingSchedule(ContinuousSchedule::polynomial, 0.1), 0.05},
                                 {MaskingSchedule(ContinuousSchedule::polynomial, 1000), 0.05}};
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong(2);
  uint64_t seed = 35;
  for (const auto& [schedule, largest_ratio] : rows) {
    double truth = 0;
    for (const Text& x : texts) truth += integrated_bound(denoiser, x, schedule);
    const auto estimates = [&, schedule = schedule](MaskDraw draw) {
      Generator generator(++seed);
      return estimate_bound(DrawnLikelihood(denoiser, schedule, {draw}), {&batch, 1}, {.passes = 1000},
                            generator);
    };
    const BoundEstimate counts = estimates(MaskDraw::beta), times = estimates(MaskDraw::independent);
    CHECK(std::abs(counts.nats - truth) < 4 * counts.standard_error);
    CHECK(counts.standard_error < largest_ratio * times.standard_error);
  }
}

TEST_CASE(
    "every draw of the loss has the continuous bound as its mean, antithetic or not (4 standard errors)") {
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const double truth =
      sum_over(texts, [&](const Text& x) { return continuous_bound(denoiser, x); }) / tokens_of(texts);
  uint64_t seed = 40;
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (MaskDraw draw : kDraws) {
      for (bool antithetic : {false, true}) {
        Generator generator(++seed);
        RunningMean total, bound;
        for (int i = 0; i < 1000; ++i) {
          const Corruption x_t =
              mdlm_corruption(*batch.target, schedule, {draw, antithetic}, kMask, generator);
          const Loss loss = masked_loss(denoiser, x_t, ForwardContext{});
          total.add(loss.total.value().item());
          bound.add(logged(loss, "bound"));
        }
        CHECK(bound.agrees_with(truth));
        CHECK(total.mean() == doctest::Approx(bound.mean()).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("two standard errors of 5 passes cover the truth as often as Student's t says, 88 % (4 sigma)") {
  constexpr int kRepetitions = 1000, kPasses = 5;
  constexpr double kCovered = 0.8839;  // P(|t| < 2) with 4 degrees of freedom
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 4);
  const std::vector<Text> texts = {text(3), text(25), {2, 1}, text(14), {0}, text(20)};
  const Batch batch = batch_of(texts);
  const double continuous = sum_over(texts, [&](const Text& x) { return continuous_bound(denoiser, x); });
  const double discrete = sum_over(texts, [&](const Text& x) { return discrete_bound(denoiser, x, noise); });
  Generator generator(80);
  const auto coverage = [&](const Likelihood& likelihood, double truth, bool every_term) {
    int covered = 0;
    for (int i = 0; i < kRepetitions; ++i) {
      const BoundEstimate bound =
          estimate_bound(likelihood, {&batch, 1}, {.passes = kPasses, .every_term = every_term}, generator);
      covered += std::abs(bound.nats - truth) < 2 * bound.standard_error;
    }
    return static_cast<double>(covered) / kRepetitions;
  };
  const double tolerance = 4 * std::sqrt(kCovered * (1 - kCovered) / kRepetitions);
  const MdlmLikelihood mdlm(denoiser, MaskingSchedule());
  const D3pmLikelihood d3pm(denoiser, noise);
  // Measured, in the order of these checks: 0.875, 0.872, 0.871, 0.889, 0.248 and 0.819.
  CHECK(std::abs(coverage(mdlm, continuous, false) - kCovered) < tolerance);
  CHECK(std::abs(coverage(d3pm, discrete, true) - kCovered) < tolerance);
  CHECK(std::abs(coverage(d3pm, discrete, false) - kCovered) < tolerance);
  // A schedule whose times hide nearly all mask probabilities, and a denoiser that depends on time.
  const TabularDenoiser timed = TabularDenoiser::wrong(2);
  const MaskingSchedule steep(ContinuousSchedule::polynomial, 0.1);
  const double of_steep = sum_over(texts, [&](const Text& x) { return integrated_bound(timed, x, steep); });
  CHECK(std::abs(coverage(MdlmLikelihood(timed, steep), of_steep, false) - kCovered) < tolerance);
  CHECK(coverage(DrawnLikelihood(timed, steep, {MaskDraw::independent}), of_steep, false) < 0.3);
  // Weights of 1/t are now and then large: a few passes over a few texts miss them more often than chance has
  // it for normal numbers, and cover less.
  const DrawnLikelihood times(denoiser, MaskingSchedule(), {MaskDraw::independent});
  const double of_times = coverage(times, continuous, false);
  CHECK(of_times < kCovered + tolerance);
  CHECK(of_times > 0.75);
}

TEST_CASE("two standard errors of 10 passes with weights of 1/t cover over 80 % for texts of one length") {
  constexpr int kRepetitions = 500;
  constexpr double kCovered = 0.9234;  // P(|t| < 2) with 9 degrees of freedom
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const std::vector<Text> texts = {text(3), text(25), text(9), text(14), text(0), text(20)};
  const Batch batch = batch_of(texts);
  const double truth = sum_over(texts, [&](const Text& x) { return continuous_bound(denoiser, x); });
  const DrawnLikelihood times(denoiser, MaskingSchedule(), {MaskDraw::independent});
  Generator generator(80);
  int covered = 0;
  for (int i = 0; i < kRepetitions; ++i) {
    const BoundEstimate bound = estimate_bound(times, {&batch, 1}, {.passes = 10}, generator);
    covered += std::abs(bound.nats - truth) < 2 * bound.standard_error;
  }
  const double coverage = static_cast<double>(covered) / kRepetitions;
  CHECK(coverage < kCovered + 4 * std::sqrt(kCovered * (1 - kCovered) / kRepetitions));
  CHECK(coverage > 0.8);
}

}  // namespace haze

#include <cmath>
#include <numbers>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr DiscreteSchedule kDiscreteSchedules[] = {DiscreteSchedule::reciprocal, DiscreteSchedule::cosine,
                                                   DiscreteSchedule::linear};

std::vector<MaskingSchedule> continuous_schedules() {
  return {MaskingSchedule(ContinuousSchedule::log_linear), MaskingSchedule(ContinuousSchedule::cosine),
          MaskingSchedule(ContinuousSchedule::polynomial, 3)};
}

// L_vb of one text from its definition (equation 1 of D3PM): every x_t at every t, KL by KL, from transition
// matrices, with p_theta(x_{t-1} | x_t) as the explicit sum over x_0.
double bound_by_definition(const TabularDenoiser& denoiser, const Text& x_0, const DiscreteNoise& noise) {
  constexpr int64_t kStatesOfToken = kTokens + 1;
  double bound = 0;
  Tensor before = absorbing_transition(kStatesOfToken, kMask, 0);
  for (int t = 1; t <= noise.steps(); ++t) {
    const Tensor transition = absorbing_transition(kStatesOfToken, kMask, noise.beta[static_cast<size_t>(t)]);
    const Tensor q_bar = transition_step(before, transition);
    std::vector<std::vector<double>> posteriors;
    for (int64_t v = 0; v < kTokens; ++v) {
      posteriors.push_back(posterior(kMask, v, transition, before).to_vector<double>());
    }
    for (unsigned subset = 1; subset < 8; ++subset) {
      const Text x_t = with_masks(x_0, subset);
      double probability = 1, divergence = 0;
      for (int place = 0; place < kLength; ++place) {
        const auto target = static_cast<size_t>(x_0[static_cast<size_t>(place)]);
        probability *= q_bar.at({x_0[static_cast<size_t>(place)], x_t[static_cast<size_t>(place)]});
        if (!is_masked(subset, place)) continue;  // both distributions are x_0 for certain
        const Distribution p_0 =
            denoiser.predict(x_t, place, static_cast<double>(t) / static_cast<double>(noise.steps()));
        for (size_t state = 0; state < kStatesOfToken; ++state) {
          const double q = posteriors[target][state];
          double p = 0;
          for (size_t v = 0; v < kTokens; ++v) p += p_0[v] * posteriors[v][state];
          if (q > 0) divergence += q * std::log(q / p);
        }
      }
      bound += probability * divergence;
    }
    before = q_bar;
  }
  // The prior term: x_T must be all mask.
  for (int64_t v = 0; v < kTokens; ++v) bound -= std::log(before.at({v, kMask}));
  return bound;
}

// The same with each KL in closed form.
double discrete_bound(const TabularDenoiser& denoiser, const Text& x, const DiscreteNoise& noise) {
  double bound = 0;
  for (int t = 1; t <= noise.steps(); ++t) {
    const double before = noise.alpha_bar[static_cast<size_t>(t) - 1];
    const double masked = 1 - noise.alpha_bar[static_cast<size_t>(t)];
    const double time = static_cast<double>(t) / noise.steps();
    bound += (before - 1 + masked) / masked * expected_cross_entropy(denoiser, x, masked, time);
  }
  return bound;
}

// Equation 10 of MDLM by the midpoint rule.
double integrated_bound(const TabularDenoiser& denoiser, const Text& x, const MaskingSchedule& schedule) {
  constexpr int kPoints = 2000;
  double bound = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double t = (i + 0.5) / kPoints;
    bound += schedule.loss_weight(t) * expected_cross_entropy(denoiser, x, schedule.mask_probability(t), t) /
             kPoints;
  }
  return bound;
}

// E over the language of bound(text).
template <typename Bound>
double expectation(Bound&& bound) {
  double sum = 0;
  for (int i = 0; i < kTexts; ++i) sum += language()[static_cast<size_t>(i)] * bound(text(i));
  return sum;
}

// Sum over all texts of bound(text).
template <typename Bound>
double sum_over_texts(Bound&& bound) {
  double sum = 0;
  for (int i = 0; i < kTexts; ++i) sum += bound(text(i));
  return sum;
}

constexpr double kRows = kTexts * kLength;

}  // namespace

TEST_CASE("L_vb by its definition, KL by KL, is the sum over t of unmask_probability times cross-entropy") {
  for (const TabularDenoiser& denoiser :
       {TabularDenoiser::exact(), TabularDenoiser::wrong(), TabularDenoiser::wrong(1.5)}) {
    for (DiscreteSchedule kind : kDiscreteSchedules) {
      for (int steps : {1, 2, 3, 8}) {
        const DiscreteNoise noise = discrete_noise(kind, steps);
        for (int i : {0, 5, 13, 19, 26}) {
          const double closed = discrete_bound(denoiser, text(i), noise);
          CHECK(std::abs(bound_by_definition(denoiser, text(i), noise) - closed) < 1e-12);
          double by_library = 0;
          for (int t = 1; t <= steps; ++t) {
            by_library +=
                unmask_probability(noise, t) *
                expected_cross_entropy(denoiser, text(i), 1 - noise.alpha_bar[static_cast<size_t>(t)],
                                       static_cast<double>(t) / steps);
          }
          CHECK(std::abs(by_library - closed) < 1e-12);
        }
      }
    }
  }
}

TEST_CASE("d3pm_bound agrees with exact enumeration over all t and x_t (4 standard errors)") {
  for (const TabularDenoiser& denoiser : {TabularDenoiser::exact(), TabularDenoiser::wrong(1.5)}) {
    for (DiscreteSchedule kind : kDiscreteSchedules) {
      const DiscreteNoise noise = discrete_noise(kind, 5);
      for (int i : {1, 14, 24}) {
        const Text x = text(i);
        const std::vector<std::vector<int32_t>> copies(400, {x.begin(), x.end()});
        Generator generator(static_cast<uint64_t>(i));
        RunningMean mean;
        for (double nats : d3pm_bound(denoiser, TextBatch::of(copies), noise, 3, generator)) mean.add(nats);
        CHECK(mean.agrees_with(discrete_bound(denoiser, x, noise)));
      }
    }
  }
}

TEST_CASE("with T = 1 the bound is the one-step loss: every token from nothing but masks") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong(0.7);
  const auto texts = all_texts();
  const TextBatch batch = TextBatch::of(texts);
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    Generator generator(1);
    const std::vector<double> bound = d3pm_bound(denoiser, batch, discrete_noise(kind, 1), 1, generator);
    for (int i = 0; i < kTexts; ++i) {
      CHECK(std::abs(bound[static_cast<size_t>(i)] - cross_entropy_of(denoiser, text(i), 7, 1)) < 1e-12);
    }
    const DiffusionLoss loss =
        d3pm_loss(denoiser, batch, discrete_noise(kind, 1), {0.5}, generator, ForwardContext{});
    const double one_step =
        sum_over_texts([&](const Text& x) { return cross_entropy_of(denoiser, x, 7, 1); });
    CHECK(loss.bound == doctest::Approx(one_step / kRows).epsilon(1e-7));
    CHECK(loss.cross_entropy == doctest::Approx(one_step / kRows).epsilon(1e-7));
    CHECK(loss.total.value().item() == doctest::Approx(1.5 * one_step / kRows).epsilon(1e-6));
  }
}

TEST_CASE("L_vb falls with every step more, as 1/T towards the continuous bound, for a perfect denoiser") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  const auto bound_of = [&](int steps) {
    const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, steps);
    return expectation([&](const Text& x) { return discrete_bound(denoiser, x, noise); });
  };
  const double limit = expectation([&](const Text& x) { return continuous_bound(denoiser, x); });
  double previous = bound_of(1);
  for (int steps = 2; steps <= 64; ++steps) {
    const double bound = bound_of(steps);
    CHECK(bound < previous);
    CHECK(bound > limit);
    previous = bound;
  }
  const double gap = bound_of(1000) - limit;
  CHECK((gap > 0 && gap < 1e-3));
  CHECK((bound_of(2000) - limit) / gap == doctest::Approx(0.5).epsilon(1e-3));
  for (DiscreteSchedule kind : {DiscreteSchedule::cosine, DiscreteSchedule::linear}) {
    const DiscreteNoise noise = discrete_noise(kind, 4000);
    const double bound = expectation([&](const Text& x) { return discrete_bound(denoiser, x, noise); });
    CHECK(bound == doctest::Approx(limit).epsilon(1e-3));
  }
}

TEST_CASE("the continuous bound is the same for every schedule: the integral is the sum over subsets") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (int i : {0, 7, 20}) {
      CHECK(integrated_bound(denoiser, text(i), schedule) ==
            doctest::Approx(continuous_bound(denoiser, text(i))).epsilon(1e-5));
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

TEST_CASE("mdlm_bound agrees with the sum over subsets, either draw, every schedule (4 standard errors)") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const double truth = sum_over_texts([&](const Text& x) { return continuous_bound(denoiser, x); });
  uint64_t seed = 10;
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (MaskDraw draw : {MaskDraw::independent, MaskDraw::exact_count}) {
      Generator generator(++seed);
      const BoundEstimate estimate =
          mdlm_bound(denoiser, spans(texts), schedule, {.passes = 1000, .draw = draw}, generator);
      CHECK(estimate.standard_error > 0);
      CHECK(estimate.standard_error < 0.02 * truth);
      CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
      CHECK(estimate.units == kTexts * kLength);
      CHECK(estimate.examples == kTexts);
    }
  }
}

TEST_CASE("exact_count draws have less noise than independent ones") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  Generator generator(20);
  const auto error_with = [&](MaskDraw draw) {
    return mdlm_bound(denoiser, spans(texts), MaskingSchedule(), {.passes = 500, .draw = draw}, generator)
        .standard_error;
  };
  CHECK(error_with(MaskDraw::exact_count) < 0.7 * error_with(MaskDraw::independent));
}

TEST_CASE("mdlm_bound is unbiased when texts of one kind come first (4 standard errors)") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  std::vector<std::vector<int32_t>> texts;
  double truth = 0;
  // A kind whose loss is largest with few masks, then one whose loss is largest with many.
  for (int i : {4, 4, 4, 4, 24, 24, 24, 24}) {
    const Text x = text(i);
    texts.emplace_back(x.begin(), x.end());
    truth += continuous_bound(denoiser, x);
  }
  for (MaskDraw draw : {MaskDraw::independent, MaskDraw::exact_count}) {
    Generator generator(21);
    const BoundEstimate estimate =
        mdlm_bound(denoiser, spans(texts), MaskingSchedule(), {.passes = 4000, .draw = draw}, generator);
    CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
  }
}

TEST_CASE("a denoiser that depends on time is told the time of x_t (4 standard errors)") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong(2);
  uint64_t seed = 30;
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    Generator generator(++seed);
    const double truth =
        sum_over_texts([&](const Text& x) { return integrated_bound(denoiser, x, schedule); });
    const BoundEstimate estimate = mdlm_bound(denoiser, spans(texts), schedule, {.passes = 1000}, generator);
    CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
    CHECK(estimate.standard_error < 0.02 * truth);
  }
}

TEST_CASE("mdlm_loss has the continuous bound as its expectation, however x_t is drawn (4 standard errors)") {
  const auto texts = all_texts();
  const TextBatch batch = TextBatch::of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const double truth = sum_over_texts([&](const Text& x) { return continuous_bound(denoiser, x); }) / kRows;
  uint64_t seed = 40;
  for (const MaskingSchedule& schedule : continuous_schedules()) {
    for (MaskDraw draw : {MaskDraw::independent, MaskDraw::exact_count}) {
      for (bool antithetic : {false, true}) {
        Generator generator(++seed);
        RunningMean total, bound;
        for (int i = 0; i < 1000; ++i) {
          const DiffusionLoss loss =
              mdlm_loss(denoiser, batch, schedule, {draw, antithetic}, generator, ForwardContext{});
          total.add(loss.total.value().item());
          bound.add(loss.bound);
        }
        CHECK(bound.agrees_with(truth));
        CHECK(total.mean() == doctest::Approx(bound.mean()).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE("d3pm_loss has L_vb + lambda E[-log p(x_0 | x_t)] as its expectation (4 standard errors)") {
  const auto texts = all_texts();
  const TextBatch batch = TextBatch::of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong(1);
  constexpr double kLambda = 0.3;
  uint64_t seed = 60;
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    const DiscreteNoise noise = discrete_noise(kind, 6);
    const double bound = sum_over_texts([&](const Text& x) { return discrete_bound(denoiser, x, noise); });
    const double auxiliary = sum_over_texts([&](const Text& x) {
      double sum = 0;
      for (size_t t = 1; t <= 6; ++t) {
        sum += expected_cross_entropy(denoiser, x, 1 - noise.alpha_bar[t], static_cast<double>(t) / 6) / 6;
      }
      return sum;
    });
    Generator generator(++seed);
    RunningMean total, of_bound;
    for (int i = 0; i < 2000; ++i) {
      const DiffusionLoss loss = d3pm_loss(denoiser, batch, noise, {kLambda}, generator, ForwardContext{});
      total.add(loss.total.value().item());
      of_bound.add(loss.bound);
    }
    CHECK(of_bound.agrees_with(bound / kRows));
    CHECK(total.agrees_with((bound + kLambda * auxiliary) / kRows));
  }
}

TEST_CASE("d3pm_bound_of_texts agrees with exact enumeration, every t or one a text (4 standard errors)") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong(1);
  uint64_t seed = 70;
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    for (int steps : {1, 7, 100}) {
      for (bool every_step : {false, true}) {
        if (every_step && steps == 100) continue;
        const DiscreteNoise noise = discrete_noise(kind, steps);
        Generator generator(++seed);
        const BoundEstimate estimate =
            d3pm_bound_of_texts(denoiser, spans(texts), noise,
                                {.passes = 500, .every_step = every_step, .rows_per_call = 10}, generator);
        const double truth =
            sum_over_texts([&](const Text& x) { return discrete_bound(denoiser, x, noise); });
        CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error + 1e-9);
        CHECK(estimate.standard_error < 0.02 * truth);
        CHECK(estimate.units == kTexts * kLength);
      }
    }
  }
}

TEST_CASE("one t a text is unbiased when texts of one kind come first (4 standard errors)") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 20);
  std::vector<std::vector<int32_t>> texts;
  double truth = 0;
  for (int i : {4, 4, 4, 4, 24, 24, 24, 24}) {
    const Text x = text(i);
    texts.emplace_back(x.begin(), x.end());
    truth += discrete_bound(denoiser, x, noise);
  }
  Generator generator(72);
  const BoundEstimate estimate =
      d3pm_bound_of_texts(denoiser, spans(texts), noise, {.passes = 4000}, generator);
  CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
}

TEST_CASE("one t a text needs as many calls of the network as there are passes, whatever T is") {
  const auto texts = all_texts();
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 1000);
  const TabularDenoiser drawn = TabularDenoiser::wrong(), every = TabularDenoiser::wrong();
  Generator generator(73);
  std::vector<int64_t> calls;
  int64_t all = 0;
  const auto observer = [&](int64_t done, int64_t of) {
    calls.push_back(done);
    all = of;
  };
  d3pm_bound_of_texts(drawn, spans(texts), noise, {.passes = 3, .observer = observer}, generator);
  CHECK(drawn.calls() <= 3 * kTexts);
  CHECK(calls == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(all == 3);
  d3pm_bound_of_texts(every, spans(texts), noise, {.passes = 2, .every_step = true, .observer = observer},
                      generator);
  CHECK(all == 2000);
  CHECK(calls.back() == 2000);
}

TEST_CASE("an observer that throws breaks a bound off") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  Generator generator(74);
  const auto observer = [](int64_t done, int64_t) {
    if (done == 2) fail("enough");
  };
  CHECK_THROWS_WITH_AS(mdlm_bound(denoiser, spans(texts), MaskingSchedule(),
                                  {.passes = 1000, .rows_per_call = 9, .observer = observer}, generator),
                       "enough", Error);
  CHECK(denoiser.calls() <= 6);
}

TEST_CASE(
    "the standard error is honest: two cover the truth as often as Student's t says (4 sigma), or 80 % at "
    "1/t") {
  constexpr int kRepetitions = 500, kPasses = 10;
  constexpr double kCovered = 0.9234;  // P(|t| < 2) with 9 degrees of freedom
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  std::vector<std::vector<int32_t>> texts;
  double continuous = 0, discrete = 0;
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 4);
  for (int i : {3, 25, 9, 14, 0, 20}) {
    const Text x = text(i);
    texts.emplace_back(x.begin(), x.end());
    continuous += continuous_bound(denoiser, x);
    discrete += discrete_bound(denoiser, x, noise);
  }
  Generator generator(80);
  const auto coverage = [&](double truth, auto&& estimate) {
    int covered = 0;
    for (int i = 0; i < kRepetitions; ++i) {
      const BoundEstimate bound = estimate();
      covered += std::abs(bound.nats - truth) < 2 * bound.standard_error;
    }
    return static_cast<double>(covered) / kRepetitions;
  };
  const double tolerance = 4 * std::sqrt(kCovered * (1 - kCovered) / kRepetitions);
  const double of_counts = coverage(continuous, [&] {
    return mdlm_bound(denoiser, spans(texts), MaskingSchedule(),
                      {.passes = kPasses, .draw = MaskDraw::exact_count}, generator);
  });
  CHECK(std::abs(of_counts - kCovered) < tolerance);
  const double of_steps = coverage(discrete, [&] {
    return d3pm_bound_of_texts(denoiser, spans(texts), noise, {.passes = kPasses, .every_step = true},
                               generator);
  });
  CHECK(std::abs(of_steps - kCovered) < tolerance);
  const double of_drawn_steps = coverage(discrete, [&] {
    return d3pm_bound_of_texts(denoiser, spans(texts), noise, {.passes = kPasses}, generator);
  });
  CHECK(std::abs(of_drawn_steps - kCovered) < tolerance);
  const double of_times = coverage(continuous, [&] {
    return mdlm_bound(denoiser, spans(texts), MaskingSchedule(), {.passes = kPasses}, generator);
  });
  // Weights of 1/t are now and then large: a few passes over a few texts miss them more often than chance has
  // it for normal numbers, and cover less, but not much.
  CHECK(of_times < kCovered + tolerance);
  CHECK(of_times > 0.8);
}

TEST_CASE("bounds do not depend on how many texts go through the network at a time") {
  const auto texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  for (MaskDraw draw : {MaskDraw::independent, MaskDraw::exact_count}) {
    const auto bound_with = [&](int64_t rows) {
      Generator generator(90);
      return mdlm_bound(denoiser, spans(texts), MaskingSchedule(),
                        {.passes = 4, .draw = draw, .rows_per_call = rows}, generator);
    };
    const BoundEstimate all = bound_with(8192);
    for (int64_t rows : {1, 7, 30}) {
      CHECK(bound_with(rows).nats == doctest::Approx(all.nats).epsilon(1e-12));
      CHECK(bound_with(rows).standard_error == doctest::Approx(all.standard_error).epsilon(1e-9));
    }
  }
}

TEST_CASE("a bound in nats per token, bits per token, perplexity and nats per text") {
  const BoundEstimate estimate{.nats = 60 * std::numbers::ln2, .standard_error = 1, .units = 20, .examples = 4};
  CHECK(estimate.nats_per_unit() == doctest::Approx(3 * std::numbers::ln2).epsilon(1e-14));
  CHECK(estimate.bits_per_unit() == doctest::Approx(3).epsilon(1e-14));
  CHECK(estimate.perplexity() == doctest::Approx(8).epsilon(1e-13));
  CHECK(estimate.nats_per_example() == doctest::Approx(15 * std::numbers::ln2).epsilon(1e-14));
}

TEST_CASE("bounds and losses say what is wrong") {
  const auto texts = all_texts();
  const TextBatch batch = TextBatch::of(texts);
  const TabularDenoiser timed = TabularDenoiser::wrong(1), untimed = TabularDenoiser::wrong();
  const MaskingSchedule schedule;
  Generator generator(1);
  const char* message =
      "exact_count masks are for denoisers that do not depend on time; use independent ones";
  CHECK_THROWS_WITH_AS(
      mdlm_loss(timed, batch, schedule, {.draw = MaskDraw::exact_count}, generator, ForwardContext{}),
      message, Error);
  CHECK_THROWS_WITH_AS(mdlm_bound(timed, spans(texts), schedule, {.draw = MaskDraw::exact_count}, generator),
                       message, Error);
  CHECK_THROWS_WITH_AS(mdlm_bound(untimed, spans(texts), schedule, {.passes = 1}, generator),
                       "bound: 1 pass(es) show no spread; at least 2 are needed", Error);
  CHECK_THROWS_WITH_AS(mdlm_bound(untimed, {}, schedule, {}, generator), "bound: there are no texts", Error);
  CHECK_THROWS_WITH_AS(mdlm_bound(untimed, spans(texts), schedule, {.every_step = true}, generator),
                       "bound: continuous time has no steps to sum over; discrete time has", Error);
  CHECK_THROWS_WITH_AS(d3pm_bound(untimed, batch, discrete_noise(DiscreteSchedule::linear, 2), 0, generator),
                       "d3pm_bound: 0 samples", Error);
}

}  // namespace haze

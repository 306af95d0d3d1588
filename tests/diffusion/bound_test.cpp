#include <cmath>
#include <numbers>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/transition_matrices.h"

#include "diffusion/toy_bounds.h"

namespace haze {
namespace {

using namespace diffusion_test;

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

// E over the language of bound(text).
template <typename Bound>
double expectation(Bound&& bound) {
  double sum = 0;
  for (int i = 0; i < kTexts; ++i) sum += language()[static_cast<size_t>(i)] * bound(text(i));
  return sum;
}

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

TEST_CASE(
    "the terms of L_vb add up to exact enumeration over all t and x_t, ragged texts (4 standard errors)") {
  for (const TabularDenoiser& denoiser : {TabularDenoiser::exact(), TabularDenoiser::wrong(1.5)}) {
    for (DiscreteSchedule kind : kDiscreteSchedules) {
      const D3pmLikelihood likelihood(denoiser, discrete_noise(kind, 5));
      CHECK(likelihood.terms() == 5);
      for (const Text& x : {text(1), text(14), text(24), Text{2, 0}, Text{1}}) {
        const Batch copies = batch_of(std::vector<Text>(1200, x));
        Generator generator(x.size());
        std::vector<double> sums(1200);
        for (int64_t t = 1; t <= 5; ++t) {
          const std::vector<double> terms = likelihood.term_nats(copies, t, generator);
          for (size_t i = 0; i < sums.size(); ++i) sums[i] += terms[i];
        }
        RunningMean mean;
        for (double nats : sums) mean.add(nats);
        CHECK(mean.agrees_with(discrete_bound(denoiser, x, discrete_noise(kind, 5))));
      }
    }
  }
}

TEST_CASE("with T = 1 the bound is the one-step loss: every token from nothing but masks") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong(0.7);
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const auto one_step = [&](const Text& x) { return cross_entropy_of(denoiser, x, (1u << x.size()) - 1, 1); };
  const double per_token = sum_over(texts, one_step) / tokens_of(texts);
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    Generator generator(1);
    const DiscreteNoise noise = discrete_noise(kind, 1);
    const std::vector<double> bound = D3pmLikelihood(denoiser, noise).draw_nats(batch, generator);
    for (size_t i = 0; i < texts.size(); ++i) CHECK(std::abs(bound[i] - one_step(texts[i])) < 1e-12);
    for (AuxiliaryForm form : {AuxiliaryForm::code, AuxiliaryForm::paper}) {  // the same where T is 1
      const Corruption x_t = d3pm_corruption(*batch.target, noise, {0.5, form}, kMask, generator);
      const Loss loss = masked_loss(denoiser, x_t, ForwardContext{});
      CHECK(logged(loss, "bound") == doctest::Approx(per_token).epsilon(1e-7));
      CHECK(logged(loss, "cross_entropy") == doctest::Approx(per_token).epsilon(1e-7));
      CHECK(loss.total.value().item() == doctest::Approx(1.5 * per_token).epsilon(1e-6));
    }
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

TEST_CASE(
    "the loss of d3pm is L_vb + lambda E[CE] in the paper's form, T lambda E[CE] in the code's (4 sigma)") {
  const std::vector<Text> texts = mixed_texts();
  const Batch batch = batch_of(texts);
  const TabularDenoiser denoiser = TabularDenoiser::wrong(1);
  constexpr double kLambda = 0.3;
  uint64_t seed = 60;
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    const DiscreteNoise noise = discrete_noise(kind, 6);
    const double bound = sum_over(texts, [&](const Text& x) { return discrete_bound(denoiser, x, noise); });
    // E[-log p(x_0 | x_t)], unmasked tokens counting 0, for t even in 1..T.
    const double auxiliary = sum_over(texts, [&](const Text& x) {
      double sum = 0;
      for (size_t t = 1; t <= 6; ++t) {
        sum += expected_cross_entropy(denoiser, x, 1 - noise.alpha_bar[t], static_cast<double>(t) / 6) / 6;
      }
      return sum;
    });
    for (AuxiliaryForm form : {AuxiliaryForm::code, AuxiliaryForm::paper}) {
      for (bool antithetic : {false, true}) {
        Generator generator(++seed);
        RunningMean total, of_bound;
        for (int i = 0; i < 2000; ++i) {
          const D3pmOptions options{kLambda, form, antithetic};
          const Corruption x_t = d3pm_corruption(*batch.target, noise, options, kMask, generator);
          const Loss loss = masked_loss(denoiser, x_t, ForwardContext{});
          total.add(loss.total.value().item());
          of_bound.add(logged(loss, "bound"));
        }
        const double times = form == AuxiliaryForm::code ? 6 : 1;
        CHECK(of_bound.agrees_with(bound / tokens_of(texts)));
        CHECK(total.agrees_with((bound + times * kLambda * auxiliary) / tokens_of(texts)));
      }
    }
  }
}

TEST_CASE("antithetic times of discrete time visit every t of 1..T equally often, and others do not") {
  const std::vector<Text> texts(20, text(5));
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 10);
  Generator generator(65);
  const auto is_even = [&](bool antithetic) {
    const D3pmOptions options{.antithetic = antithetic};
    const Corruption x_t = d3pm_corruption(*batch_of(texts).target, noise, options, kMask, generator);
    std::vector<int> counts(11);
    for (double time : x_t.input.t.to_vector<double>())
      ++counts.at(static_cast<size_t>(std::lround(10 * time)));
    return counts == std::vector<int>{0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2};
  };
  for (int draw = 0; draw < 50; ++draw) {
    CHECK(is_even(true));
    CHECK_FALSE(is_even(false));  // by chance once in 40,000 draws
  }
}

TEST_CASE("the bound of d3pm agrees with exact enumeration, every t or one a text (4 standard errors)") {
  const std::vector<Text> texts = mixed_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong(1);
  const std::vector<Batch> batches = {batch_of(std::span(texts).first(10)),
                                      batch_of(std::span(texts).subspan(10))};
  uint64_t seed = 70;
  for (DiscreteSchedule kind : kDiscreteSchedules) {
    for (int steps : {1, 7, 100}) {
      for (bool every_term : {false, true}) {
        if (every_term && steps == 100) continue;
        const DiscreteNoise noise = discrete_noise(kind, steps);
        Generator generator(++seed);
        const BoundEstimate estimate = estimate_bound(D3pmLikelihood(denoiser, noise), batches,
                                                      {.passes = 500, .every_term = every_term}, generator);
        const double truth =
            sum_over(texts, [&](const Text& x) { return discrete_bound(denoiser, x, noise); });
        CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error + 1e-9);
        CHECK(estimate.standard_error < 0.02 * truth);
        CHECK(estimate.units == tokens_of(texts));
      }
    }
  }
}

TEST_CASE("one t a text is unbiased when texts of one kind come first (4 standard errors)") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 20);
  const std::vector<Text> texts = {text(4), text(4), text(4), {1}, {1}, text(24), text(24), text(24)};
  const double truth = sum_over(texts, [&](const Text& x) { return discrete_bound(denoiser, x, noise); });
  const Batch batch = batch_of(texts);
  Generator generator(72);
  const BoundEstimate estimate =
      estimate_bound(D3pmLikelihood(denoiser, noise), {&batch, 1}, {.passes = 4000}, generator);
  CHECK(std::abs(estimate.nats - truth) < 4 * estimate.standard_error);
}

TEST_CASE("one t a text needs as many calls of the network as there are passes, whatever T is") {
  const Batch batch = batch_of(all_texts());
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 1000);
  const TabularDenoiser drawn = TabularDenoiser::wrong(), every = TabularDenoiser::wrong();
  Generator generator(73);
  std::vector<int64_t> calls;
  int64_t all = 0;
  const auto observer = [&](int64_t done, int64_t of) {
    calls.push_back(done);
    all = of;
  };
  estimate_bound(D3pmLikelihood(drawn, noise), {&batch, 1}, {.passes = 3, .observer = observer}, generator);
  CHECK(drawn.calls() <= 3 * kTexts);
  CHECK(calls == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(all == 3);
  estimate_bound(D3pmLikelihood(every, noise), {&batch, 1},
                 {.passes = 2, .every_term = true, .observer = observer}, generator);
  CHECK(all == 2000);
  CHECK(calls.back() == 2000);
}

TEST_CASE("an observer that throws breaks a bound off") {
  const std::vector<Text> texts = all_texts();
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  std::vector<Batch> batches;
  for (size_t first = 0; first < texts.size(); first += 3) {
    batches.push_back(batch_of(std::span(texts).subspan(first, 3)));
  }
  Generator generator(74);
  const auto observer = [](int64_t done, int64_t) {
    if (done == 2) fail("enough");
  };
  CHECK_THROWS_WITH_AS(estimate_bound(MdlmLikelihood(denoiser, MaskingSchedule()), batches,
                                      {.passes = 1000, .observer = observer}, generator),
                       "enough", Error);
  CHECK(denoiser.calls() <= 6);
}

TEST_CASE("a bound in nats per token, bits per token, perplexity and nats per text") {
  const BoundEstimate estimate{
      .nats = 60 * std::numbers::ln2, .standard_error = 1, .units = 20, .examples = 4};
  CHECK(estimate.nats_per_unit() == doctest::Approx(3 * std::numbers::ln2).epsilon(1e-14));
  CHECK(estimate.bits_per_unit() == doctest::Approx(3).epsilon(1e-14));
  CHECK(estimate.perplexity() == doctest::Approx(8).epsilon(1e-13));
  CHECK(estimate.nats_per_example() == doctest::Approx(15 * std::numbers::ln2).epsilon(1e-14));
}

TEST_CASE("bounds say what is wrong") {
  const Batch batch = batch_of(all_texts());
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const MdlmLikelihood mdlm(denoiser, MaskingSchedule());
  const D3pmLikelihood d3pm(denoiser, discrete_noise(DiscreteSchedule::linear, 2));
  Generator generator(1);
  CHECK_THROWS_WITH_AS(estimate_bound(mdlm, {&batch, 1}, {.passes = 1}, generator),
                       "bound: 1 pass(es) show no spread; at least 2 are needed", Error);
  CHECK_THROWS_WITH_AS(estimate_bound(mdlm, {}, {}, generator), "bound: there is no example", Error);
  CHECK_THROWS_WITH_AS(estimate_bound(mdlm, {&batch, 1}, {.every_term = true}, generator),
                       "bound: this model's bound is no sum of terms", Error);
  CHECK_THROWS_WITH_AS(d3pm.term_nats(batch, 3, generator), "d3pm: term 3 is not in 1..2", Error);
  CHECK_THROWS_WITH_AS(mdlm.draw_nats({}, generator),
                       "mdlm: the batch has no texts, from which this model learns", Error);
  CHECK_THROWS_WITH_AS(mdlm.draw_nats(batch_of(std::vector<Text>{{0, kMask}}), generator),
                       "mdlm: a text holds the mask's id, 3", Error);
  CHECK_THROWS_WITH_AS(d3pm.draw_nats(batch_of(std::vector<Text>{{0, 4}}), generator),
                       "d3pm: a text holds the id 4, which is outside the vocabulary of 3", Error);
}

}  // namespace haze

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "diffusion/toy_requests.h"
#include "engine/statistics.h"

namespace haze {
namespace {

using namespace diffusion_test;

// Probability of each state (text with masks).
using Chain = std::array<double, kStates>;

constexpr int kSamples = 30000;

Chain all_masked() {
  Chain chain{};
  chain[kStates - 1] = 1;
  return chain;
}

// Adds `weight` times the distribution of `x` with the positions of `shown` drawn from the denoiser's answer
// to `context`.
void add_draws(Chain& chain, double weight, const TabularDenoiser& denoiser, const Text& context, Text x,
               unsigned shown, double t) {
  for (int position = 0; position < kLength; ++position) {
    if (!is_masked(shown, position)) continue;
    const Distribution p = denoiser.predict(context, position, t);
    for (int32_t v = 0; v < kTokens; ++v) {
      x[static_cast<size_t>(position)] = v;
      add_draws(chain, weight * p[static_cast<size_t>(v)], denoiser, context, x, shown & ~(1u << position),
                t);
    }
    return;
  }
  chain[static_cast<size_t>(state_index(x))] += weight;
}

// Masks among the first `length` positions: a shorter text has none beyond.
unsigned masks_of(const Text& x, int length = kLength) {
  unsigned masked = 0;
  for (int position = 0; position < length; ++position) {
    if (x[static_cast<size_t>(position)] == kMask) masked |= 1u << position;
  }
  return masked;
}

// One step of ancestral sampling: each mask is shown with probability `appears`, all from the same context.
Chain ancestral_step(const TabularDenoiser& denoiser, const Chain& chain, double appears, double t,
                     int length) {
  Chain next{};
  for (int s = 0; s < kStates; ++s) {
    if (chain[static_cast<size_t>(s)] == 0) continue;
    const unsigned masked = masks_of(state(s), length);
    for (unsigned shown = 0; shown < 8; ++shown) {
      if ((shown & ~masked) != 0) continue;
      const int k = masks_in(shown), hidden = masks_in(masked) - k;
      const double weight =
          chain[static_cast<size_t>(s)] * std::pow(appears, k) * std::pow(1 - appears, hidden);
      add_draws(next, weight, denoiser, state(s), state(s), shown, t);
    }
  }
  return next;
}

// What ancestral sampling with steps at `mask_probability` (from 1 to 0) and `time` should end in.
Chain ancestral_distribution(const TabularDenoiser& denoiser, const std::vector<double>& mask_probability,
                             const std::vector<double>& time, int length = kLength) {
  Chain chain = all_masked();
  for (size_t i = 1; i < time.size(); ++i) {
    const double appears = (mask_probability[i - 1] - mask_probability[i]) / mask_probability[i - 1];
    chain = ancestral_step(denoiser, chain, appears, time[i - 1], length);
  }
  return chain;
}

Chain ancestral_distribution(const TabularDenoiser& denoiser, const MaskingSchedule& schedule, int steps,
                             int length = kLength) {
  std::vector<double> mask_probability, time;
  for (int i = steps; i >= 0; --i) {
    time.push_back(static_cast<double>(i) / steps);
    mask_probability.push_back(schedule.mask_probability(time.back()));
  }
  return ancestral_distribution(denoiser, mask_probability, time, length);
}

// One token at a time, at an evenly drawn position.
Chain random_order_distribution(const TabularDenoiser& denoiser, int length = kLength) {
  Chain chain = all_masked();
  for (int left = length; left > 0; --left) {
    Chain next{};
    for (int s = 0; s < kStates; ++s) {
      const unsigned masked = masks_of(state(s), length);
      for (int position = 0; position < kLength; ++position) {
        if (chain[static_cast<size_t>(s)] == 0 || !is_masked(masked, position)) continue;
        add_draws(next, chain[static_cast<size_t>(s)] / left, denoiser, state(s), state(s), 1u << position,
                  0);
      }
    }
    chain = next;
  }
  return chain;
}

// One token at a time, at the position where the denoiser's first choice leads its second by most, from a
// text with `masks` masks.
Chain top_margin_distribution(const TabularDenoiser& denoiser, const MaskingSchedule& schedule, Chain chain,
                              int masks, int length = kLength) {
  for (int left = masks; left > 0; --left) {
    const double t = schedule.time_of_mask_probability(static_cast<double>(left) / length);
    Chain next{};
    for (int s = 0; s < kStates; ++s) {
      if (chain[static_cast<size_t>(s)] == 0) continue;
      int best = -1;
      double best_margin = -1;
      for (int position = 0; position < kLength; ++position) {
        if (!is_masked(masks_of(state(s), length), position)) continue;
        Distribution p = denoiser.predict(state(s), position, t);
        std::sort(p.begin(), p.end());
        if (p[2] - p[1] <= best_margin) continue;
        best = position;
        best_margin = p[2] - p[1];
      }
      add_draws(next, chain[static_cast<size_t>(s)], denoiser, state(s), state(s), 1u << best, t);
    }
    chain = next;
  }
  return chain;
}

// In each step every position whose likeliest token has a probability above `threshold`, and the clearest
// one.
Chain confidence_distribution(const TabularDenoiser& denoiser, const MaskingSchedule& schedule,
                              double threshold, Chain chain) {
  for (int step = 0; step < kLength; ++step) {
    Chain next{};
    for (int s = 0; s < kStates; ++s) {
      const double reached = chain[static_cast<size_t>(s)];
      if (reached == 0) continue;
      const unsigned masked = masks_of(state(s));
      const double t = schedule.time_of_mask_probability(masks_in(masked) / static_cast<double>(kLength));
      unsigned shown = 0, clearest = 0;
      double largest = -1;
      for (int position = 0; position < kLength; ++position) {
        if (!is_masked(masked, position)) continue;
        const Distribution p = denoiser.predict(state(s), position, t);
        const double confidence = *std::max_element(p.begin(), p.end());
        if (confidence > threshold) shown |= 1u << position;
        if (confidence > largest) clearest = 1u << position;
        largest = std::max(largest, confidence);
      }
      add_draws(next, reached, denoiser, state(s), state(s), shown | clearest, t);
    }
    chain = next;
  }
  return chain;
}

// Pearson's test of finished texts against the exact distribution, at 99.9 %.
bool follows(const Samples& samples, const Chain& exact) {
  std::vector<int64_t> counts(kTexts);
  for (const auto& tokens : samples.texts) ++counts.at(static_cast<size_t>(text_index(tokens)));
  std::vector<double> expected;
  for (int i = 0; i < kTexts; ++i) {
    expected.push_back(exact[static_cast<size_t>(state_index(text(i)))] *
                       static_cast<double>(samples.texts.size()));
  }
  return test::chi_squared(counts, expected) < test::chi_squared_limit(kTexts - 1);
}

}  // namespace

TEST_CASE("ancestral samples follow the exact distribution of the chain of 1, 4 and 64 steps (99.9 %)") {
  const TabularDenoiser exact = TabularDenoiser::exact(), wrong = TabularDenoiser::wrong();
  uint64_t seed = 0;
  for (const TabularDenoiser* denoiser : {&exact, &wrong}) {
    for (int steps : {1, 4, 64}) {
      const MaskingSchedule schedule(steps == 4 ? ContinuousSchedule::cosine
                                                : ContinuousSchedule::log_linear);
      Generator generator(++seed);
      const Samples samples =
          ancestral_sample(*denoiser, open_requests(kSamples), SamplingGrid(schedule, steps), {}, generator);
      CHECK(follows(samples, ancestral_distribution(*denoiser, schedule, steps)));
      // The test can tell the chains of different lengths apart.
      CHECK_FALSE(follows(samples, ancestral_distribution(*denoiser, schedule, steps == 64 ? 1 : 64)));
    }
  }
}

TEST_CASE("ancestral sampling of discrete time visits every t, or some (99.9 %)") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong(2);
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::cosine, 8);
  for (int steps : {8, 2}) {
    std::vector<double> mask_probability, time;
    for (int i = steps; i >= 0; --i) {
      const int t = i * 8 / steps;
      time.push_back(static_cast<double>(t) / 8);
      mask_probability.push_back(1 - noise.alpha_bar[static_cast<size_t>(t)]);
    }
    Generator generator(static_cast<uint64_t>(20 + steps));
    const Samples samples =
        ancestral_sample(denoiser, open_requests(kSamples), SamplingGrid(noise, steps), {}, generator);
    CHECK(follows(samples, ancestral_distribution(denoiser, mask_probability, time)));
  }
}

TEST_CASE("first-hitting samples follow the exact distribution of one token at a time (99.9 %)") {
  const TabularDenoiser wrong = TabularDenoiser::wrong();
  uint64_t seed = 30;
  for (ContinuousSchedule kind : {ContinuousSchedule::log_linear, ContinuousSchedule::cosine}) {
    Generator generator(++seed);
    const Samples samples =
        first_hitting_sample(wrong, open_requests(kSamples), MaskingSchedule(kind), {}, generator);
    CHECK(follows(samples, random_order_distribution(wrong)));
  }
}

TEST_CASE("with the true conditionals first-hitting samples follow the language (99.9 %)") {
  const TabularDenoiser exact = TabularDenoiser::exact();
  Chain truth{};
  for (int i = 0; i < kTexts; ++i) {
    truth[static_cast<size_t>(state_index(text(i)))] = language()[static_cast<size_t>(i)];
  }
  Generator generator(40);
  CHECK(
      follows(first_hitting_sample(exact, open_requests(kSamples), MaskingSchedule(), {}, generator), truth));
}

TEST_CASE("top-margin samples follow the exact distribution of the clearest position first (99.9 %)") {
  uint64_t seed = 45;
  for (const double time_slope : {0.0, 4.0}) {
    const TabularDenoiser wrong = TabularDenoiser::wrong(time_slope);
    const MaskingSchedule schedule(ContinuousSchedule::polynomial, 2);
    Generator generator(++seed);
    const Samples samples = top_margin_sample(wrong, open_requests(kSamples), schedule, {}, generator);
    CHECK(follows(samples, top_margin_distribution(wrong, schedule, all_masked(), kLength)));
    CHECK_FALSE(follows(samples, random_order_distribution(wrong)));
  }
}

TEST_CASE("confidence samples follow the exact distribution of all tokens above the threshold (99.9 %)") {
  const MaskingSchedule schedule(ContinuousSchedule::polynomial, 2);
  uint64_t seed = 48;
  // A denoiser that depends on time is told that of the share of masks: its confidences are 0.53 to 0.97.
  for (const auto& [time_slope, between] : {std::pair{0.0, 0.5}, {2.0, 0.8}}) {
    const TabularDenoiser wrong = TabularDenoiser::wrong(time_slope);
    const auto chain = [&](double threshold) {
      return confidence_distribution(wrong, schedule, threshold, all_masked());
    };
    for (const double threshold : {1.0, between, 0.0}) {
      CAPTURE(threshold);
      Generator generator(++seed);
      const Samples samples =
          confidence_sample(wrong, open_requests(kSamples), schedule, threshold, {}, generator);
      CHECK(follows(samples, chain(threshold)));
      CHECK_FALSE(follows(samples, chain(threshold == 0 ? 1.0 : 0.0)));
    }
  }
}

TEST_CASE("at threshold 0 each token of the text has its own marginal, and pairs are independent (99.9 %)") {
  const TabularDenoiser exact = TabularDenoiser::exact();
  Generator generator(54);
  const Samples samples =
      confidence_sample(exact, open_requests(kSamples), MaskingSchedule(), 0, {}, generator);
  const Text masks(kLength, kMask);
  for (const auto& [left, right] : {std::pair<size_t, size_t>{0, 1}, {1, 2}, {0, 2}}) {
    std::vector<int64_t> counts(kTokens * kTokens);
    for (const Text& x : samples.texts) ++counts[static_cast<size_t>(x[left] * kTokens + x[right])];
    const Distribution p = conditional(masks, static_cast<int>(left));
    const Distribution q = conditional(masks, static_cast<int>(right));
    std::vector<double> expected;
    for (const double a : p) {
      for (const double b : q) expected.push_back(kSamples * a * b);
    }
    CHECK(test::chi_squared(counts, expected) < test::chi_squared_limit(kTokens * kTokens - 1));
  }
}

TEST_CASE("texts of one, two and three tokens side by side follow the chains of their own lengths (99.9 %)") {
  const TabularDenoiser untimed = TabularDenoiser::wrong(), timed = TabularDenoiser::wrong(3);
  const MaskingSchedule schedule(ContinuousSchedule::cosine);
  std::vector<Request> requests;
  for (int i = 0; i < 3 * kSamples; ++i) requests.push_back(open_text(1 + i % 3));
  const auto check = [&](const Samples& samples, auto&& chain_of) {
    for (int length = 1; length <= kLength; ++length) {
      const Chain chain = chain_of(length);
      std::vector<int64_t> counts;
      std::vector<double> expected;
      std::vector<int> cell(kStates, -1);
      for (size_t s = 0; s < kStates; ++s) {
        if (chain[s] == 0) continue;
        cell[s] = static_cast<int>(counts.size());
        counts.push_back(0);
        expected.push_back(chain[s] * kSamples);
      }
      CHECK(std::ssize(counts) == std::lround(std::pow(kTokens, length)));
      for (size_t i = static_cast<size_t>(length) - 1; i < samples.texts.size(); i += 3) {
        REQUIRE(std::ssize(samples.texts[i]) == length);
        ++counts.at(static_cast<size_t>(cell[static_cast<size_t>(state_index(samples.texts[i]))]));
      }
      CHECK(test::chi_squared(counts, expected) < test::chi_squared_limit(counts.size() - 1));
    }
  };
  Generator generator(55);
  check(ancestral_sample(timed, requests, SamplingGrid(schedule, 4), {}, generator),
        [&](int length) { return ancestral_distribution(timed, schedule, 4, length); });
  check(first_hitting_sample(untimed, requests, schedule, {}, generator),
        [&](int length) { return random_order_distribution(untimed, length); });
  check(top_margin_sample(timed, requests, schedule, {}, generator),
        [&](int length) { return top_margin_distribution(timed, schedule, all_masked(), length, length); });
}

TEST_CASE("ancestral sampling becomes first-hitting sampling as steps grow, with an error of 1/steps") {
  const TabularDenoiser wrong = TabularDenoiser::wrong();
  const Chain limit = random_order_distribution(wrong);
  const auto distance = [&](int steps) {
    const Chain chain = ancestral_distribution(wrong, MaskingSchedule(), steps);
    double sum = 0;
    for (size_t i = 0; i < kStates; ++i) sum += std::abs(chain[i] - limit[i]) / 2;
    return sum;
  };
  CHECK(distance(1) > 0.1);
  const double at_500 = distance(500);
  CHECK(at_500 < 2e-3);
  CHECK(distance(1000) / at_500 == doctest::Approx(0.5).epsilon(0.01));
}

TEST_CASE("a denoiser that depends on time is told the right times (99.9 %)") {
  const TabularDenoiser timed = TabularDenoiser::wrong(4);
  const MaskingSchedule schedule(ContinuousSchedule::polynomial, 2);
  Generator generator(50);
  const Samples few =
      ancestral_sample(timed, open_requests(kSamples), SamplingGrid(schedule, 4), {}, generator);
  CHECK(follows(few, ancestral_distribution(timed, schedule, 4)));
  // First-hitting's times are those of infinitely many steps, which 2000 stand in for.
  const Samples hitting = first_hitting_sample(timed, open_requests(kSamples), schedule, {}, generator);
  CHECK(follows(hitting, ancestral_distribution(timed, schedule, 2000)));
  CHECK_FALSE(follows(hitting, ancestral_distribution(timed, MaskingSchedule(), 2000)));
}

TEST_CASE("infilling with the true conditionals follows the language given the fixed token (99.9 %)") {
  const TabularDenoiser exact = TabularDenoiser::exact();
  const std::vector<Request> start(kSamples, given({0, 2, 0}, {0, 1, 0}));
  Generator generator(70);
  const Samples samples = first_hitting_sample(exact, start, MaskingSchedule(), {}, generator);
  std::vector<int64_t> counts(9);
  std::vector<double> expected(9);
  double total = 0;
  for (int i = 0; i < kTexts; ++i) {
    const Text x = text(i);
    if (x[1] != 2) continue;
    expected[static_cast<size_t>(3 * x[0] + x[2])] = language()[static_cast<size_t>(i)];
    total += language()[static_cast<size_t>(i)];
  }
  for (double& value : expected) value *= kSamples / total;
  for (const auto& x : samples.texts) ++counts.at(static_cast<size_t>(3 * x[0] + x[2]));
  CHECK(test::chi_squared(counts, expected) < test::chi_squared_limit(8));
}

TEST_CASE("top-margin infilling follows the exact distribution given the fixed token (99.9 %)") {
  const MaskingSchedule schedule(ContinuousSchedule::polynomial, 2);
  const std::vector<Request> start(kSamples, given({0, 2, 0}, {0, 1, 0}));
  Chain given{};
  given[static_cast<size_t>(state_index(Text{kMask, 2, kMask}))] = 1;
  for (const double time_slope : {0.0, 4.0}) {
    const TabularDenoiser wrong = TabularDenoiser::wrong(time_slope);
    Generator generator(71);
    const Samples samples = top_margin_sample(wrong, start, schedule, {}, generator);
    const Chain exact = top_margin_distribution(wrong, schedule, given, 2);
    std::vector<int64_t> counts(9);
    std::vector<double> expected(9);
    for (int32_t i = 0; i < 9; ++i)
      expected[static_cast<size_t>(i)] =
          kSamples * exact[static_cast<size_t>(state_index(Text{i / 3, 2, i % 3}))];
    for (const auto& x : samples.texts) ++counts.at(static_cast<size_t>(3 * x[0] + x[2]));
    CHECK(test::chi_squared(counts, expected) < test::chi_squared_limit(8));
  }
}

}  // namespace haze

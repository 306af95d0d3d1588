#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "diffusion/toy_requests.h"

namespace haze {
namespace {

using namespace diffusion_test;

// Requests of several lengths with different tokens given; the ids 3 are the mask's, given on purpose.
std::vector<Request> mixed_requests() {
  return {given({0, 1, 2}, {0, 0, 0}),  given({2, 2, 0}, {1, 0, 0}), given({0, 3, 1}, {0, 1, 0}),
          given({1, 1, 1}, {1, 1, 1}),  given({3, 3, 1}, {1, 1, 0}), given({1, 0, 1}, {1, 0, 1}),
          given({9, -4, 7}, {0, 0, 0}), given({0, 0}, {0, 0}),       given({0}, {0}),
          given({1, 2}, {0, 1})};
}
constexpr int64_t kOpenTokens = 3 + 2 + 2 + 0 + 1 + 1 + 3 + 2 + 1 + 1;  // of mixed_requests()

using Tokens = std::vector<std::vector<int32_t>>;

// The samplers, by one name.
struct SamplerRow {
  const char* name;
  Samples (*run)(const Denoiser&, std::span<const Request>, const SamplerOptions&, Generator&);
};
const SamplerRow kSamplers[] = {
    {"ancestral",
     [](const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
        Generator& generator) {
       return ancestral_sample(denoiser, requests, SamplingGrid(MaskingSchedule(), 16), options, generator);
     }},
    {"first-hitting",
     [](const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
        Generator& generator) {
       return first_hitting_sample(denoiser, requests, MaskingSchedule(), options, generator);
     }},
    {"top-margin",
     [](const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
        Generator& generator) {
       return top_margin_sample(denoiser, requests, MaskingSchedule(), options, generator);
     }},
    {"confidence",
     [](const Denoiser& denoiser, std::span<const Request> requests, const SamplerOptions& options,
        Generator& generator) {
       return confidence_sample(denoiser, requests, MaskingSchedule(), 1, options, generator);
     }},
};

}  // namespace

TEST_CASE("a sampling grid falls from time 1 to 0 along the schedule") {
  const MaskingSchedule schedule(ContinuousSchedule::cosine);
  const SamplingGrid grid(schedule, 4);
  CHECK(grid.steps() == 4);
  for (int i = 0; i <= 4; ++i) {
    CHECK(grid.at(i).time == 1 - 0.25 * i);
    CHECK(1 - grid.at(i).mask_probability == schedule.alpha_bar(grid.at(i).time));
  }
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::linear, 10);
  const SamplingGrid all(noise, 10);
  for (int i = 0; i <= 10; ++i) {
    CHECK(all.at(i).time == doctest::Approx(1 - static_cast<double>(i) / 10));
    CHECK(all.at(i).mask_probability == 1 - noise.alpha_bar[static_cast<size_t>(10 - i)]);
  }
  const SamplingGrid some(noise, 4);
  const std::vector<double> times = {1, 0.7, 0.5, 0.2, 0};
  for (int i = 0; i <= 4; ++i) CHECK(some.at(i).time == times[static_cast<size_t>(i)]);
  CHECK(some.at(1).mask_probability == 1 - noise.alpha_bar[7]);
}

TEST_CASE("a sampling grid of a text of which a share is masked starts where that share is expected") {
  const MaskingSchedule schedule(ContinuousSchedule::polynomial, 2);
  const SamplingGrid grid(schedule, 4);
  CHECK(grid.at(0, 0.25).mask_probability == doctest::Approx(0.25).epsilon(1e-14));
  for (int i = 0; i <= 4; ++i) CHECK(grid.at(i, 0.25).time == doctest::Approx(0.5 - 0.125 * i));
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 8);
  const SamplingGrid steps(noise, 8);
  const std::vector<double> times = {0.25, 0.125, 0.125, 0.125, 0.125, 0, 0, 0, 0};
  for (int i = 0; i <= 8; ++i) CHECK(steps.at(i, 0.25).time == times[static_cast<size_t>(i)]);
  CHECK(noise.time_of_mask_probability(0) == 0);
  CHECK(noise.time_of_mask_probability(0.26) == 3);
  CHECK(noise.time_of_mask_probability(1) == 8);
  CHECK_THROWS_AS(noise.time_of_mask_probability(1.5), Error);
}

TEST_CASE("a schedule that is 0 long before its time shows every token (polynomial of power 1000)") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  const MaskingSchedule schedule(ContinuousSchedule::polynomial, 1000);
  Generator generator(15);
  const Samples samples =
      ancestral_sample(denoiser, mixed_requests(), SamplingGrid(schedule, 64), {}, generator);
  for (size_t text : {size_t{0}, size_t{6}, size_t{7}, size_t{8}}) {
    for (int32_t token : samples.texts[text]) CHECK(token < kTokens);
  }
}

TEST_CASE("forbidden tokens count for nothing in a margin") {
  // At the first position token 2 is certain, and forbidden: what is left there is even. The second is clear.
  TabularDenoiser::Table table{};
  for (auto& positions : table) positions = {{{0.005, 0.005, 0.99}, {0.8, 0.1, 0.1}, {0.4, 0.3, 0.3}}};
  const TabularDenoiser denoiser(table);
  Generator generator(48);
  std::vector<int32_t> order;
  const auto observer = [&](const Snapshot& step) {
    for (int32_t position = 0; position < kLength; ++position) {
      const bool shown = (*step.texts)[0][static_cast<size_t>(position)] != kMask;
      if (shown && std::find(order.begin(), order.end(), position) == order.end()) order.push_back(position);
    }
  };
  const SamplerOptions options{.filter = {.forbidden = {2}}, .observer = observer};
  top_margin_sample(denoiser, open_requests(1), MaskingSchedule(), options, generator);
  CHECK(order == std::vector<int32_t>{1, 2, 0});
}

TEST_CASE("given tokens are carried over, whatever their ids, and the rest is filled in") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  const std::vector<Request> start = mixed_requests();
  for (const SamplerRow& sampler : kSamplers) {
    CAPTURE(sampler.name);
    Generator generator(60);
    const Samples samples = sampler.run(denoiser, start, {}, generator);
    REQUIRE(samples.texts.size() == start.size());
    for (size_t i = 0; i < start.size(); ++i) {
      REQUIRE(samples.texts[i].size() == start[i].start.size());
      for (size_t position = 0; position < start[i].start.size(); ++position) {
        const int32_t token = samples.texts[i][position];
        if (start[i].fixed[position]) {
          CHECK(token == start[i].start[position]);
        } else {
          CHECK((token >= 0 && token < kTokens));
        }
      }
    }
  }
}

TEST_CASE("a text depends neither on its neighbours nor on how many go through the network at a time") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  const std::vector<Request> start = mixed_requests();
  for (const SamplerRow& sampler : kSamplers) {
    CAPTURE(sampler.name);
    const auto sample = [&](const std::vector<Request>& requests, int64_t rows) {
      Generator generator(80);
      return sampler.run(denoiser, requests, {.rows_per_call = rows}, generator).texts;
    };
    const Tokens all = sample(start, 4096);
    for (int64_t rows : {1, 4, 7}) CHECK(sample(start, rows) == all);
    for (size_t count = 1; count <= start.size(); ++count) {
      const auto end = static_cast<int64_t>(count);
      CHECK(sample({start.begin(), start.begin() + end}, 4096) == Tokens(all.begin(), all.begin() + end));
    }
    std::vector<Request> changed = start;
    changed[1] = open_text(kLength);
    const Tokens others = sample(changed, 4096);
    for (size_t i = 0; i < start.size(); ++i) {
      if (i != 1) CHECK(others[i] == all[i]);
    }
  }
}

TEST_CASE("a text depends on the seed and its number alone: three texts are the first of seven, ragged") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong(2);
  std::vector<Request> requests;
  for (int64_t length : {3, 1, 2, 3, 2, 1, 3}) requests.push_back(open_text(length));
  for (const SamplerRow& sampler : kSamplers) {
    CAPTURE(sampler.name);
    const auto sample = [&](size_t count) {
      Generator generator(85);
      return sampler.run(denoiser, std::span(requests).first(count), {}, generator).texts;
    };
    const Tokens seven = sample(7);
    CHECK(sample(3) == Tokens(seven.begin(), seven.begin() + 3));
  }
}

TEST_CASE("the same generator gives the same texts, and goes on to others") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  for (const SamplerRow& sampler : kSamplers) {
    Generator one(90), two(90);
    const Tokens first = sampler.run(denoiser, open_requests(50), {}, one).texts;
    CHECK(sampler.run(denoiser, open_requests(50), {}, two).texts == first);
    CHECK(sampler.run(denoiser, open_requests(50), {}, one).texts != first);
  }
}

TEST_CASE("the network is called only where tokens appear: one row a token, and no call without one") {
  const std::vector<Request> start = mixed_requests();
  for (int steps : {1, 3, 1000}) {
    const TabularDenoiser denoiser = TabularDenoiser::exact();
    Generator generator(100);
    Tokens before;
    int64_t changes = 0;  // texts that a step changed
    const auto observer = [&](const Snapshot& step) {
      for (size_t i = 0; i < before.size(); ++i) changes += (*step.texts)[i] != before[i];
      before = *step.texts;
    };
    const Samples samples = ancestral_sample(denoiser, start, SamplingGrid(MaskingSchedule(), steps),
                                             {.observer = observer}, generator);
    CHECK(denoiser.rows() == kOpenTokens);
    CHECK(denoiser.calls() == changes);
    CHECK(samples.network_calls == changes);
  }
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  Generator generator(101);
  const Samples samples = first_hitting_sample(denoiser, start, MaskingSchedule(), {}, generator);
  CHECK(samples.network_calls == kOpenTokens);
  CHECK(denoiser.calls() == kOpenTokens);
  CHECK(denoiser.rows() == kOpenTokens);
}

TEST_CASE("top-margin sampling calls the network once a token and looks at every mask") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  Generator generator(102);
  const Samples samples = top_margin_sample(denoiser, open_requests(5), MaskingSchedule(), {}, generator);
  CHECK(samples.network_calls == 5 * kLength);
  CHECK(denoiser.calls() == 5 * kLength);
  CHECK(denoiser.rows() == 5 * (3 + 2 + 1));
}

TEST_CASE(
    "a threshold of 1 is one token a step, one below every confidence is one step, others lie between") {
  const std::vector<Request> requests = open_requests(200);
  const auto steps_and_calls = [&](double threshold) {
    const TabularDenoiser denoiser = TabularDenoiser::exact();
    Generator generator(103);
    int64_t last = 0, promised = 0;
    const auto observer = [&](const Snapshot& snapshot) {
      CHECK(snapshot.steps >= snapshot.step);
      if (snapshot.step > 0) CHECK(snapshot.steps <= promised);
      last = snapshot.step;
      promised = snapshot.steps;
    };
    const Samples samples = confidence_sample(denoiser, requests, MaskingSchedule(), threshold,
                                              {.observer = observer}, generator);
    CHECK(last == promised);
    CHECK(samples.network_calls == denoiser.calls());
    return std::pair{last, samples.network_calls};
  };
  CHECK(steps_and_calls(1) == std::pair<int64_t, int64_t>{kLength, 200 * kLength});
  // The likeliest of three tokens has a probability of 1/3 at least.
  CHECK(steps_and_calls(0.33) == std::pair<int64_t, int64_t>{1, 200});
  const int64_t between = steps_and_calls(0.42).second;
  CHECK(between > 200);
  CHECK(between < 200 * kLength);
}

TEST_CASE(
    "a threshold of 1 draws the tokens of the largest confidence, one after the other, given tokens kept") {
  const TabularDenoiser denoiser = TabularDenoiser::wrong();
  Generator generator(104);
  Tokens before;
  const auto observer = [&](const Snapshot& snapshot) {
    const Tokens& now = *snapshot.texts;
    for (size_t i = 0; i < before.size(); ++i) {
      int best = -1;
      double largest = -1;
      for (int position = 0; position < kLength; ++position) {
        if (before[i][static_cast<size_t>(position)] != kMask) continue;
        const Distribution p = denoiser.predict(before[i], position, 0);
        const double confidence = *std::max_element(p.begin(), p.end());
        if (confidence > largest) best = position;
        largest = std::max(largest, confidence);
      }
      for (int position = 0; position < kLength; ++position) {
        const auto at = static_cast<size_t>(position);
        CHECK((now[i][at] != before[i][at]) == (position == best));
      }
    }
    before = now;
  };
  confidence_sample(denoiser, std::vector<Request>(20, given({0, 2, 0}, {0, 1, 0})), MaskingSchedule(), 1,
                    {.observer = observer}, generator);
}

// The distribution of each place of a text, of a joint distribution of texts.
std::array<Distribution, kLength> marginals(const std::array<double, kTexts>& joint) {
  std::array<Distribution, kLength> result{};
  for (int i = 0; i < kTexts; ++i) {
    const Text x = text(i);
    for (size_t place = 0; place < kLength; ++place)
      result[place][static_cast<size_t>(x[place])] += joint[static_cast<size_t>(i)];
  }
  return result;
}

TEST_CASE(
    "at temperature 0, three tokens above 1 - 1/4 are the likeliest text (theorem 1); below, they need not "
    "be") {
  Generator generator(106);
  const auto written = [&](const std::array<double, kTexts>& joint, double threshold) {
    TabularDenoiser::Table table{};
    table[kStates - 1] = marginals(joint);
    const TabularDenoiser denoiser(table);
    const Samples samples = confidence_sample(denoiser, open_requests(1), MaskingSchedule(), threshold,
                                              {.filter = {.temperature = 0}}, generator);
    CHECK(samples.network_calls == 1);
    return samples.texts[0];
  };
  const auto smallest_confidence = [](const std::array<double, kTexts>& joint) {
    double smallest = 1;
    for (const Distribution& p : marginals(joint))
      smallest = std::min(smallest, *std::max_element(p.begin(), p.end()));
    return smallest;
  };
  int sure = 0;
  for (int trial = 0; trial < 1000; ++trial) {
    std::array<double, kTexts> joint{};
    double total = 0;
    const std::vector<double> drawn = uniform({kTexts}, generator, 0, 1, Dtype::float64).to_vector<double>();
    for (size_t i = 0; i < kTexts; ++i) total += joint[i] = std::pow(drawn[i], 40);
    for (double& p : joint) p /= total;
    if (smallest_confidence(joint) <= 0.75) continue;
    ++sure;
    const auto likeliest = std::max_element(joint.begin(), joint.end()) - joint.begin();
    CHECK(written(joint, 0.75) == text(static_cast<int>(likeliest)));
  }
  CHECK(sure >= 50);

  // The bound is tight: three texts that differ from (0, 0, 0) in one place each are likelier than it is.
  std::array<double, kTexts> joint{};
  joint[static_cast<size_t>(text_index(Text{0, 0, 0}))] = 0.244;
  for (const Text& x : {Text{1, 0, 0}, Text{0, 1, 0}, Text{0, 0, 1}})
    joint[static_cast<size_t>(text_index(x))] = 0.252;
  CHECK(smallest_confidence(joint) == doctest::Approx(0.748));
  CHECK(written(joint, 0.74) == Text{0, 0, 0});
}

TEST_CASE("confidence sampling refuses a threshold outside 0..1 and logits that are no distribution") {
  const TabularDenoiser exact = TabularDenoiser::exact();
  Generator generator(105);
  for (const double threshold : {-0.1, 1.1, std::nan("")}) {
    CHECK_THROWS_WITH_AS(
        confidence_sample(exact, open_requests(1), MaskingSchedule(), threshold, {}, generator),
        doctest::Contains("is outside 0..1"), Error);
  }
  TabularDenoiser::Table table{};
  for (auto& positions : table) {
    for (Distribution& p : positions) p.fill(std::nan(""));
  }
  CHECK_THROWS_WITH_AS(
      confidence_sample(TabularDenoiser(table), open_requests(1), MaskingSchedule(), 0.5, {}, generator),
      doctest::Contains("no distribution"), Error);
}

TEST_CASE("with all tokens given there is no call of the network") {
  const std::vector<Request> start = {given({0, 1, 2}, {1, 1, 1}), given({3, 0, 0}, {1, 1, 1})};
  for (const SamplerRow& sampler : kSamplers) {
    const TabularDenoiser denoiser = TabularDenoiser::exact();
    Generator generator(110);
    const Samples samples = sampler.run(denoiser, start, {}, generator);
    CHECK(samples.texts == Tokens{{0, 1, 2}, {3, 0, 0}});
    CHECK(samples.network_calls == 0);
    CHECK(denoiser.calls() == 0);
  }
}

TEST_CASE("an observer sees every step, time falling, and tokens that only appear") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  for (const SamplerRow& sampler : kSamplers) {
    CAPTURE(sampler.name);
    Generator generator(120);
    std::vector<int64_t> steps;
    std::vector<double> time(40, 1.0);
    Tokens before;
    const auto observer = [&](const Snapshot& step) {
      steps.push_back(step.step);
      CHECK(step.steps == (std::string(sampler.name) == "ancestral" ? 16 : kLength));
      REQUIRE(step.time.size() == 40);
      for (size_t i = 0; i < 40; ++i) CHECK(step.time[i] <= time[i]);
      time = step.time;
      if (before.empty()) CHECK((*step.texts) == Tokens(40, std::vector<int32_t>(kLength, kMask)));
      for (size_t i = 0; i < before.size(); ++i) {
        for (size_t position = 0; position < kLength; ++position) {
          if (before[i][position] != kMask) CHECK((*step.texts)[i][position] == before[i][position]);
        }
      }
      before = *step.texts;
    };
    const Samples samples = sampler.run(denoiser, open_requests(40), {.observer = observer}, generator);
    REQUIRE(static_cast<int64_t>(steps.size()) ==
            (std::string(sampler.name) == "ancestral" ? 17 : kLength + 1));
    for (size_t i = 0; i < steps.size(); ++i) CHECK(steps[i] == static_cast<int64_t>(i));
    CHECK(before == samples.texts);
  }
}

TEST_CASE(
    "samplers filter: temperature 0 and top_k 1 write the most likely tokens, top_k 2 never the third") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  const SamplingGrid one_step(MaskingSchedule(), 1);
  std::vector<int32_t> likely;
  for (int position = 0; position < kLength; ++position) {
    const Distribution p = denoiser.predict(state(kStates - 1), position, 1);
    likely.push_back(static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin()));
  }
  Generator generator(130);
  for (const TokenFilter& filter :
       {TokenFilter{.temperature = 0}, TokenFilter{.top_k = 1}, TokenFilter{.top_p = 0.01}}) {
    const Samples samples =
        ancestral_sample(denoiser, open_requests(50), one_step, {.filter = filter}, generator);
    CHECK(samples.texts == Tokens(50, likely));
  }
  const Samples samples =
      ancestral_sample(denoiser, open_requests(2000), one_step, {.filter = {.top_k = 2}}, generator);
  for (size_t position = 0; position < kLength; ++position) {
    const Distribution p = denoiser.predict(state(kStates - 1), static_cast<int>(position), 1);
    const auto third = static_cast<int32_t>(std::min_element(p.begin(), p.end()) - p.begin());
    for (const auto& x : samples.texts) REQUIRE(x[position] != third);
  }
}

TEST_CASE("a forbidden token that there is not is named before anything is drawn") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  for (const SamplerRow& sampler : kSamplers) {
    for (int32_t token : {-1, kTokens, 1000000}) {
      CAPTURE(sampler.name);
      Generator generator(1);
      CHECK_THROWS_WITH_AS(
          sampler.run(denoiser, open_requests(1), {.filter = {.forbidden = {token}}}, generator),
          fmt::format("sampling: the forbidden token {} is outside the vocabulary of 3", token).c_str(),
          Error);
    }
  }
  CHECK(denoiser.calls() == 0);
}

TEST_CASE("top-margin sampling refuses logits that are no distribution") {
  // The logits are logarithms: one is NaN, or all are -infinity.
  for (const auto& p : {std::array{0.2, std::nan(""), 0.8}, std::array{0.0, 0.0, 0.0}}) {
    TabularDenoiser::Table table{};
    for (auto& positions : table) positions.fill(p);
    Generator generator(1);
    CHECK_THROWS_WITH_AS(
        top_margin_sample(TabularDenoiser(table), open_requests(1), MaskingSchedule(), {}, generator),
        "sampling: the network's logits are no distribution: NaN or infinity", Error);
  }
}

TEST_CASE("samplers say what is wrong") {
  const TabularDenoiser denoiser = TabularDenoiser::exact();
  Generator generator(1);
  const auto sample = [&](const Request& request, const SamplerOptions& options = {}) {
    return first_hitting_sample(denoiser, {&request, 1}, MaskingSchedule(), options, generator);
  };
  CHECK_THROWS_WITH_AS(open_text(0), "sampling: length 0 is not positive", Error);
  CHECK_THROWS_WITH_AS(sample(given({0, 1, 2}, {0, 0})),
                       "sampling: request 0 has 3 tokens and 2 marks of which are fixed", Error);
  CHECK_THROWS_AS(sample(given({}, {})), Error);
  CHECK_THROWS_WITH_AS(sample(given({0, 4, 2}, {0, 1, 0})),
                       "sampling: token 4 of text 0 is outside the vocabulary of 3", Error);
  CHECK_THROWS_AS(sample(given({-1, 0, 2}, {1, 0, 0})), Error);
  CHECK_THROWS_AS(sample(open_text(3), {.filter = {.top_p = 2}}), Error);
  CHECK_THROWS_WITH_AS(SamplingGrid(MaskingSchedule(), 0), "sampling grid: 0 steps", Error);
  CHECK_THROWS_WITH_AS(SamplingGrid(discrete_noise(DiscreteSchedule::cosine, 4), 5),
                       "sampling grid: 5 steps of a process of 4", Error);
}

}  // namespace haze

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/confidence_sampler.h"
#include "haze/diffusion/discrete/first_hitting_sampler.h"
#include "haze/diffusion/discrete/top_margin_sampler.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using namespace diffusion_test;

// One mask id for texts of any length: what is told and what is shown are all that these tests look at.
class Listener : public Denoiser {
 public:
  int64_t vocabulary() const override { return kTokens; }
  int32_t mask_id() const override { return kMask; }
  bool depends_on_time() const override { return true; }
  Variable logits(const DenoiserInput& input, const ForwardContext&) const override {
    const std::vector<int32_t> lengths = [&] {
      const std::vector<int32_t> offsets = input.sequences.offsets.to_vector<int32_t>();
      std::vector<int32_t> result;
      for (size_t i = 1; i < offsets.size(); ++i) result.push_back(offsets[i] - offsets[i - 1]);
      return result;
    }();
    const std::vector<float> times = input.t.to_vector<float>();
    for (size_t i = 0; i < times.size(); ++i) told.push_back({lengths[i], times[i]});
    return zeros({input.rows.size(0), kTokens});
  }

  mutable std::vector<std::pair<int32_t, float>> told;  // length of a text, and its time
};

// Texts of which no two are equally long, so that a length tells which one the network is asked about: two of
// eight tokens masked, all of six, none of five, one of one.
std::vector<Request> requests() {
  std::vector<Request> result = {open_text(8), open_text(6), open_text(5), open_text(1)};
  std::fill(result[0].fixed.begin(), result[0].fixed.begin() + 6, uint8_t{1});
  std::fill(result[2].fixed.begin(), result[2].fixed.end(), uint8_t{1});
  return result;
}
constexpr size_t kTextCount = 4;
constexpr std::array<int32_t, kTextCount> kLengths = {8, 6, 5, 1};

struct Shown {
  std::vector<Snapshot> steps;
  std::vector<std::vector<size_t>> masked;  // [step][text]
  std::vector<std::pair<int32_t, float>> told;
};

template <typename Sample>
Shown watch(Sample&& sample) {
  Shown shown;
  const Listener denoiser;
  Generator generator(5);
  const SamplerOptions options{.observer = [&](const Snapshot& snapshot) {
    shown.steps.push_back(snapshot);
    std::vector<size_t> masked;
    for (const auto& text : *snapshot.texts) {
      masked.push_back(static_cast<size_t>(std::count(text.begin(), text.end(), kMask)));
    }
    shown.masked.push_back(masked);
  }};
  sample(denoiser, options, generator);
  shown.told = denoiser.told;
  return shown;
}

// Whatever the sampler: a text starts at the time at which its share of masks is expected, its time never
// rises, and is 0 exactly when no mask is left.
void check_times(const Shown& shown, const MaskingSchedule& schedule) {
  const std::vector<double> shares = {2.0 / 8, 1, 0, 1};
  REQUIRE(shown.masked.front() == std::vector<size_t>{2, 6, 0, 1});
  REQUIRE(shown.masked.back() == std::vector<size_t>{0, 0, 0, 0});
  for (size_t text = 0; text < kTextCount; ++text) {
    CHECK(shown.steps.front().time[text] ==
          doctest::Approx(schedule.time_of_mask_probability(shares[text])).epsilon(1e-14));
    for (size_t step = 0; step < shown.steps.size(); ++step) {
      REQUIRE(shown.steps[step].time.size() == kTextCount);
      CHECK((shown.steps[step].time[text] == 0) == (shown.masked[step][text] == 0));
      if (step > 0) CHECK(shown.steps[step].time[text] <= shown.steps[step - 1].time[text]);
    }
  }
}

// Of samplers that show a token in each of six steps: texts have, and are told before each step, the time
// that belongs to their share of masks.
void check_told_times(const Shown& shown, const std::function<double(double)>& time_of) {
  REQUIRE(shown.steps.size() == 7);
  size_t next = 0;
  for (size_t step = 0; step < shown.steps.size(); ++step) {
    for (size_t text = 0; text < kTextCount; ++text) {
      const int32_t length = kLengths.at(text);
      const double time = time_of(static_cast<double>(shown.masked[step][text]) / length);
      CHECK(shown.steps[step].time[text] == doctest::Approx(time).epsilon(1e-14));
      if (shown.masked[step][text] == 0) continue;
      CHECK(shown.told.at(next).first == length);
      CHECK(shown.told.at(next++).second == static_cast<float>(time));
    }
  }
  CHECK(next == shown.told.size());
}

const MaskingSchedule kSchedule(ContinuousSchedule::polynomial, 2);

}  // namespace

TEST_CASE("ancestral sampling shows and tells each text's own time: even steps from its start to 0") {
  const Shown shown =
      watch([](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
        ancestral_sample(denoiser, requests(), SamplingGrid(kSchedule, 10), options, generator);
      });
  check_times(shown, kSchedule);
  REQUIRE(shown.steps.size() == 11);
  const std::vector<double> start = {0.5, 1, 0, 1};
  std::vector<std::pair<int32_t, float>> expected;  // what was told: the time before the step
  for (size_t step = 0; step <= 10; ++step) {
    for (size_t text = 0; text < kTextCount; ++text) {
      const double time = start[text] * (10 - static_cast<double>(step)) / 10;
      if (shown.masked[step][text] > 0) CHECK(shown.steps[step].time[text] == doctest::Approx(time));
    }
  }
  for (size_t step = 1; step <= 10; ++step) {
    for (size_t text = 0; text < kTextCount; ++text) {
      if (shown.masked[step][text] == shown.masked[step - 1][text]) continue;
      expected.emplace_back(kLengths.at(text), static_cast<float>(shown.steps[step - 1].time[text]));
    }
  }
  CHECK(shown.told == expected);
}

TEST_CASE("ancestral sampling of discrete time starts at the t at which the share of masks is expected") {
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 40);
  const Shown shown =
      watch([&](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
        ancestral_sample(denoiser, requests(), SamplingGrid(noise, 40), options, generator);
      });
  check_times(shown, MaskingSchedule());  // alpha_bar_t = 1 - t/T
}

TEST_CASE("first-hitting sampling shows each text the time at which its last token appeared, and tells it") {
  const Shown shown =
      watch([](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
        first_hitting_sample(denoiser, requests(), kSchedule, options, generator);
      });
  check_times(shown, kSchedule);
  REQUIRE(shown.steps.size() == 7);
  size_t next = 0;
  for (size_t step = 1; step < shown.steps.size(); ++step) {
    for (size_t text = 0; text < kTextCount; ++text) {
      if (shown.masked[step - 1][text] == 0) continue;
      CHECK(shown.masked[step][text] == shown.masked[step - 1][text] - 1);
      const auto [length, time] = shown.told.at(next++);
      CHECK(length == kLengths.at(text));
      CHECK(static_cast<double>(time) < shown.steps[step - 1].time[text]);
      if (shown.masked[step][text] > 0) CHECK(time == static_cast<float>(shown.steps[step].time[text]));
    }
  }
  CHECK(next == shown.told.size());
}

TEST_CASE(
    "top-margin and confidence sampling show and tell the time at which a text's share of masks is "
    "expected") {
  using Run = void (*)(const Denoiser&, const SamplerOptions&, Generator&);
  const Run top_margin = [](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
    top_margin_sample(denoiser, requests(), kSchedule, options, generator);
  };
  const Run confidence = [](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
    confidence_sample(denoiser, requests(), kSchedule, 1, options, generator);
  };
  for (const Run run : {top_margin, confidence}) {
    const Shown shown = watch(run);
    check_times(shown, kSchedule);
    check_told_times(shown, [](double share) { return std::sqrt(share); });
  }
}

TEST_CASE(
    "confidence sampling of discrete time tells the first t at which a text's share of masks is reached") {
  const DiscreteNoise noise =
      discrete_noise(DiscreteSchedule::reciprocal, 20);  // t/T is the mask probability
  const Shown shown =
      watch([&](const Denoiser& denoiser, const SamplerOptions& options, Generator& generator) {
        confidence_sample(denoiser, requests(), noise, 1, options, generator);
      });
  check_told_times(shown, [](double share) { return std::ceil(20 * share - 1e-9) / 20; });
}

}  // namespace haze

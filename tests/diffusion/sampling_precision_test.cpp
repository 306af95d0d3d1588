#include <algorithm>
#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/ancestral_sampler.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using diffusion_test::RunningMean;

// As many ids as GPT-2's vocabulary has, by Zipf's law.
constexpr int64_t kIds = 50257;

std::vector<double> zipf() {
  std::vector<double> p;
  double total = 0;
  for (int64_t id = 1; id <= kIds; ++id) {
    p.push_back(1.0 / static_cast<double>(id));
    total += p.back();
  }
  for (double& value : p) value /= total;
  return p;
}

double entropy_of(const std::vector<double>& p) {
  double entropy = 0;
  for (double value : p) entropy -= value > 0 ? value * std::log(value) : 0;
  return entropy;
}

// The same distribution for every token, as float32 logits.
class ConstantDenoiser : public Denoiser {
 public:
  explicit ConstantDenoiser(const std::vector<double>& p) {
    std::vector<float> logs;
    for (double value : p) logs.push_back(static_cast<float>(std::log(value)));
    logits_ = Tensor::from(logs, {1, static_cast<int64_t>(logs.size())});
  }

  int64_t vocabulary() const override { return logits_.size(1); }
  bool depends_on_time() const override { return false; }
  int32_t mask_id() const override { return static_cast<int32_t>(vocabulary()); }
  Variable logits(const DenoiserInput& input, const ForwardContext&) const override {
    return expand(logits_, {input.rows.size(0), vocabulary()});
  }

 private:
  Tensor logits_;
};

// What a race of exponential float32 numbers -log(u) / q, u on a grid of 2^-24, draws at t = 1 of `steps`
// steps where the mask takes part: no number is below delta = 2^-24, so an id of probability q = p / steps is
// drawn with weight delta / (e^(delta/q) - 1) instead of q.
std::vector<double> drawn_by_float32_race(const std::vector<double>& p, int steps) {
  constexpr double kDelta = 0x1p-24;
  std::vector<double> result;
  double total = 0;
  for (double value : p) {
    result.push_back(kDelta / std::expm1(kDelta * steps / value));
    total += result.back();
  }
  for (double& value : result) value /= total;
  return result;
}

}  // namespace

TEST_CASE("1000 steps over 50257 ids keep the entropy of Zipf's law, 7.566 nats (4 standard errors)") {
  const std::vector<double> p = zipf();
  const double truth = entropy_of(p);
  CHECK(truth == doctest::Approx(7.566).epsilon(1e-4));
  const std::vector<double> raced = drawn_by_float32_race(p, 1000);
  CHECK(entropy_of(raced) == doctest::Approx(5.642).epsilon(1e-3));

  const ConstantDenoiser denoiser(p);
  const std::vector<Request> start(20, open_text(100));
  const SamplingGrid grid(discrete_noise(DiscreteSchedule::reciprocal, 1000), 1000);
  Generator generator(1);
  // The mean of -log p(id) is the entropy, without the bias of counting 2000 ids among 50257.
  RunningMean surprise;
  int64_t rare = 0;
  for (const auto& tokens : ancestral_sample(denoiser, start, grid, {}, generator).texts) {
    for (int32_t id : tokens) {
      surprise.add(-std::log(p.at(static_cast<size_t>(id))));
      rare += id >= 10000;
    }
  }
  CHECK(surprise.agrees_with(truth));
  CHECK(surprise.standard_error() < 0.1);

  double surprise_of_race = 0, rare_mass = 0, rare_mass_of_race = 0;
  for (size_t id = 0; id < p.size(); ++id) {
    surprise_of_race -= raced[id] * std::log(p[id]);
    if (id >= 10000) {
      rare_mass += p[id];
      rare_mass_of_race += raced[id];
    }
  }
  CHECK_FALSE(surprise.agrees_with(surprise_of_race));
  const double share = static_cast<double>(rare) / static_cast<double>(20 * 100);
  CHECK(std::abs(share - rare_mass) < 4 * std::sqrt(rare_mass * (1 - rare_mass) / (20 * 100)));
  CHECK(rare_mass_of_race < 0.01 * rare_mass);
}

}  // namespace haze

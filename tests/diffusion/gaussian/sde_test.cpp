#include "haze/diffusion/gaussian/sde.h"

#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/noise_schedule.h"

#include "normal_data.h"

namespace haze {
namespace {

// dm/dt = f m, dv/dt = 2 f v + g^2 (Sarkka and Solin 2019, equation 5.51), by the classical Runge-Kutta
// method.
struct MeanAndVariance {
  double mean, variance;
};
MeanAndVariance integrated(const Sde& sde, double from, double to, MeanAndVariance start) {
  constexpr int kSteps = 2000;
  const double h = (to - from) / kSteps;
  const auto slope = [&](double t, const MeanAndVariance& m) {
    const double f = drift_coefficient(sde, t), g = diffusion(sde, t);
    return MeanAndVariance{f * m.mean, 2 * f * m.variance + g * g};
  };
  const auto plus = [](const MeanAndVariance& m, double c, const MeanAndVariance& s) {
    return MeanAndVariance{m.mean + c * s.mean, m.variance + c * s.variance};
  };
  MeanAndVariance m = start;
  for (int i = 0; i < kSteps; ++i) {
    const double t = from + i * h;
    const MeanAndVariance a = slope(t, m), b = slope(t + h / 2, plus(m, h / 2, a));
    const MeanAndVariance c = slope(t + h / 2, plus(m, h / 2, b)), d = slope(t + h, plus(m, h, c));
    m = plus(plus(plus(plus(m, h / 6, a), h / 3, b), h / 3, c), h / 6, d);
  }
  return m;
}

}  // namespace

TEST_CASE(
    "alpha and sigma of the three SDEs solve the equations of mean and variance (Song et al., eq. 29)") {
  for (const Sde& sde : testing::all_sdes()) {
    CAPTURE(static_cast<int>(sde.kind));
    // VE is not defined at t = 0, where its variance jumps from 0: it has sigma_min^2 there.
    const NoiseLevel start = sde_level(sde, 0);
    for (double t : {0.01, 0.3, 0.7, 1.0}) {
      const MeanAndVariance truth = integrated(sde, 0, t, {start.alpha, start.sigma * start.sigma});
      const NoiseLevel level = sde_level(sde, t);
      CHECK(level.time == t);
      CHECK(level.alpha == doctest::Approx(truth.mean).epsilon(1e-8));
      CHECK(level.sigma * level.sigma == doctest::Approx(truth.variance).epsilon(1e-8));
    }
  }
}

TEST_CASE("sigma of the sub-VP SDE is 1 - alpha^2, the square of that of the VP SDE, and never larger") {
  const Sde vp, sub_vp{.kind = SdeKind::sub_variance_preserving};
  for (double t : {1e-5, 1e-3, 0.1, 0.5, 1.0}) {
    const NoiseLevel level = sde_level(sub_vp, t), of_vp = sde_level(vp, t);
    CHECK(level.sigma == doctest::Approx(of_vp.sigma * of_vp.sigma).epsilon(1e-12));
    CHECK(of_vp.alpha * of_vp.alpha + level.sigma == doctest::Approx(1).epsilon(1e-12));
    CHECK(level.sigma < of_vp.sigma);
  }
  CHECK(sde_level(vp, 1e-5).sigma == doctest::Approx(std::sqrt(1e-6 + 9.95e-10)).epsilon(1e-6));
}

TEST_CASE("the VP SDE is the limit of DDPM's 1000 steps, from 1e-4 to 0.02") {
  const NoiseSchedule schedule = linear_noise_schedule(1000);
  const Sde sde;
  for (int t : {1, 10, 100, 300, 500, 1000}) {
    const NoiseLevel discrete = noise_level(schedule, t), continuous = sde_level(sde, t / 1000.0);
    // log alpha differs by the sum over steps of beta^2 / 4 and by half a step: below 1% of itself but for
    // the first steps, where half a step is much.
    CHECK(continuous.alpha == doctest::Approx(discrete.alpha).epsilon(t == 1000 ? 0.08 : 0.006));
    CHECK(continuous.sigma == doctest::Approx(discrete.sigma).epsilon(t == 1 ? 0.06 : 0.02));
    // beta_t = beta(t) / N.
    CHECK(diffusion(sde, t / 1000.0) * diffusion(sde, t / 1000.0) / 1000 ==
          doctest::Approx(schedule.beta[static_cast<size_t>(t)]).epsilon(t < 100 ? 0.21 : 0.02));
  }
}

TEST_CASE("VE multiplies sigma by the same factor in every step, from 0.01 to 50") {
  const Sde sde{.kind = SdeKind::variance_exploding};
  CHECK(sde_level(sde, 0).sigma == doctest::Approx(0.01));
  CHECK(sde_level(sde, 0.5).sigma == doctest::Approx(std::sqrt(0.5)));
  CHECK(sde_level(sde, 1).sigma == doctest::Approx(50));
  CHECK(prior_deviation(sde) == 50);
  CHECK(prior_deviation({}) == 1);
}

TEST_CASE(
    "the score is minus epsilon over sigma: that of normal data agrees with the density's differences") {
  const testing::NormalData data;
  for (const Sde& sde : testing::all_sdes()) {
    const NoiseLevel level = sde_level(sde, 0.4);
    const double x = 0.7, y = 0.3, h = 1e-5;
    const Tensor point = Tensor::from(std::vector<double>{x, y}, {1, 2});
    const std::vector<double> score =
        score_of(denoiser_of(data.predictor(sde))(point, level), level).to_vector<double>();
    CHECK(score[0] == doctest::Approx((data.nats(level, x - h, y) - data.nats(level, x + h, y)) / (2 * h)));
    CHECK(score[1] == doctest::Approx((data.nats(level, x, y - h) - data.nats(level, x, y + h)) / (2 * h)));
  }
}

TEST_CASE("times fall evenly from 1 to the end, and the levels go on to the data") {
  const std::vector<double> times = falling_times(4, 0.2);
  REQUIRE(times.size() == 5);
  CHECK(times[0] == 1);
  CHECK(times[1] == doctest::Approx(0.8));
  CHECK(times[4] == 0.2);
  const std::vector<NoiseLevel> levels = sde_levels({}, 4, 0.2);
  REQUIRE(levels.size() == 6);
  CHECK(levels[4].sigma == sde_level({}, 0.2).sigma);
  CHECK(levels[5].sigma == 0);
  CHECK(levels[5].alpha == 1);
}

TEST_CASE("levels that are even in the log-SNR lower it by the same amount in every step") {
  for (const Sde& sde : testing::all_sdes()) {
    const std::vector<NoiseLevel> levels = sde_log_snr_levels(sde, 8);
    REQUIRE(levels.size() == 10);
    CHECK(levels[0].time == 1);
    CHECK(levels[8].time == kSamplingEnd);
    const auto log_snr = [&](size_t i) { return 2 * std::log(levels[i].alpha / levels[i].sigma); };
    for (size_t i = 0; i < 8; ++i)
      CHECK(log_snr(i + 1) - log_snr(i) == doctest::Approx((log_snr(8) - log_snr(0)) / 8).epsilon(1e-9));
    CHECK(levels[9].sigma == 0);
  }
}

TEST_CASE("the time at a share of the noise's growth is that share, to 1e-9, of every SDE and steep betas") {
  std::vector<Sde> sdes = testing::all_sdes();
  sdes.push_back({.beta_min = 0, .beta_max = 20});
  sdes.push_back({.beta_min = 5, .beta_max = 5});
  sdes.push_back({.kind = SdeKind::sub_variance_preserving, .beta_min = 0.1, .beta_max = 1000});
  for (const Sde& sde : sdes) {
    const auto log_noise = [&](double t) {
      return 2 * std::log(sde_level(sde, t).sigma / sde_level(sde, t).alpha);
    };
    for (double start : {1e-5, 1e-3, 0.5}) {
      CHECK(time_at_noise_share(sde, start, 0) == doctest::Approx(start).epsilon(1e-9));
      CHECK(time_at_noise_share(sde, start, 1) == doctest::Approx(1).epsilon(1e-12));
      for (double share : {0.001, 0.3, 0.9}) {
        const double t = time_at_noise_share(sde, start, share);
        CHECK((log_noise(t) - log_noise(start)) / (log_noise(1) - log_noise(start)) ==
              doctest::Approx(share).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("an SDE says what it cannot be") {
  CHECK_THROWS_WITH_AS(check_sde({.beta_min = 2, .beta_max = 1}), "sde: beta cannot rise from 2 to 1", Error);
  CHECK_THROWS_WITH_AS(check_sde({.sigma_min = 0}), "sde: sigma cannot rise from 0 to 50", Error);
  CHECK_THROWS_AS(sde_level({}, 1.5), Error);
  CHECK_THROWS_AS(sde_level({}, std::nan("")), Error);
  CHECK_THROWS_AS(falling_times(0), Error);
  CHECK_THROWS_AS(falling_times(10, 0), Error);
}

}  // namespace haze

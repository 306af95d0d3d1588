#pragma once

#include "haze/diffusion/bound.h"
#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"

#include "diffusion/toy_language.h"

/// Bounds of the toy language by enumeration, and the ways to estimate them.
namespace haze::diffusion_test {

constexpr DiscreteSchedule kDiscreteSchedules[] = {DiscreteSchedule::reciprocal, DiscreteSchedule::cosine,
                                                   DiscreteSchedule::linear};

inline std::vector<MaskingSchedule> continuous_schedules() {
  return {MaskingSchedule(ContinuousSchedule::log_linear), MaskingSchedule(ContinuousSchedule::cosine),
          MaskingSchedule(ContinuousSchedule::polynomial, 3)};
}

/// L_vb of one text with each KL in closed form.
inline double discrete_bound(const TabularDenoiser& denoiser, const Text& x, const DiscreteNoise& noise) {
  double bound = 0;
  for (int t = 1; t <= noise.steps(); ++t) {
    const double before = noise.alpha_bar[static_cast<size_t>(t) - 1];
    const double masked = 1 - noise.alpha_bar[static_cast<size_t>(t)];
    const double time = static_cast<double>(t) / noise.steps();
    bound += (before - 1 + masked) / masked * expected_cross_entropy(denoiser, x, masked, time);
  }
  return bound;
}

/// Equation 10 of MDLM by the midpoint rule over the mask probability p: the integral of E[CE] / p.
inline double integrated_bound(const TabularDenoiser& denoiser, const Text& x,
                               const MaskingSchedule& schedule) {
  constexpr int kPoints = 2000;
  double bound = 0;
  for (int i = 0; i < kPoints; ++i) {
    const double p = (i + 0.5) / kPoints;
    bound += expected_cross_entropy(denoiser, x, p, schedule.time_of_mask_probability(p)) / p / kPoints;
  }
  return bound;
}

template <typename Bound>
double sum_over(const std::vector<Text>& texts, Bound&& bound) {
  double sum = 0;
  for (const Text& x : texts) sum += bound(x);
  return sum;
}

/// The continuous-time bound by any of the draws that training can take.
class DrawnLikelihood : public Likelihood {
 public:
  DrawnLikelihood(const Denoiser& denoiser, const MaskingSchedule& schedule, const MdlmOptions& options)
      : denoiser_(denoiser), schedule_(schedule), options_(options) {}
  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    return sequence_nats(denoiser_,
                         mdlm_corruption(*batch.target, schedule_, options_, denoiser_.mask_id(), generator));
  }

 private:
  const Denoiser& denoiser_;
  MaskingSchedule schedule_;
  MdlmOptions options_;
};

}  // namespace haze::diffusion_test

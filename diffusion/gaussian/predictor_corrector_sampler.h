#pragma once

#include <span>

#include "haze/diffusion/gaussian/sde.h"

namespace haze {

struct CorrectorOptions {
  int64_t steps = 1;              // M, Langevin steps at each level; 0: the predictor alone
  double signal_to_noise = 0.16;  // r
  /// Algorithms 4 and 5 take |z| and |g| as means over the batch, so that an example depends on the others.
  /// Otherwise both stand for what they are expected to be: |z|^2 = d and |g|^2 = d / sigma^2.
  bool batch_norms = false;
};

/// Song et al. 2021, Algorithms 2 and 3, over any falling levels. With a = alpha_t / alpha_s and v the
/// variance added from level s to t (LevelStep), the reverse diffusion predictor is
///   x <- (2 - a) x + v score(x, t) + sqrt(v) z:   a = 1, v = sigma_t^2 - sigma_s^2 of VE (Algorithm 2),
///                                                 a = sqrt(1 - beta_t), v = beta_t of VP (Algorithm 3),
/// and M steps of Langevin dynamics at level s correct its distribution:
///   g = score(x, s),   x <- x + e g + sqrt(2 e) z,   e = 2 a_s^2 (r |z| / |g|)^2   (Algorithms 4 and 5),
/// where a_s is the a of level s itself, from the next level to it: a_s^2 = 1 - beta_s of VP. After the last
/// level come the data. The step to data gives the denoised x_0, without noise. Throws Error where
/// check_levels() does. x [n, ...] is at levels[0]; the result is at the
/// last level. The network is called 1 + M times a step, once in that to data.
Tensor predictor_corrector_sample(const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                                  const CorrectorOptions& corrector, Tensor x, const NoiseSource& noise,
                                  const LevelObserver& observer = {});

}  // namespace haze

#pragma once

#include <functional>
#include <vector>

#include "haze/diffusion/discrete/denoiser.h"
#include "haze/diffusion/discrete/schedule.h"
#include "haze/diffusion/model.h"
#include "haze/diffusion/token_filter.h"

/// Samplers of masked diffusion: from a text that is all mask, or partly given, to a text without masks.
namespace haze {

/// A text to be filled in. `fixed` says which tokens are given; what stands in the others does not matter.
/// Whether a token is open is a matter of its place, never of its id, so a given text may hold any id.
struct Canvas {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> fixed;

  /// All open.
  static Canvas open(int64_t length);
};

/// Times falling from 1 to 0 that a sampler visits, and alpha_bar there.
struct SamplingGrid {
  std::vector<double> time, alpha_bar;
};
/// `steps` even steps of continuous time. Throws Error where steps < 1.
SamplingGrid sampling_grid(const MaskingSchedule& schedule, int steps);
/// About evenly spaced times of discrete time; steps = T visits all. Throws Error where steps is not in 1..T.
SamplingGrid sampling_grid(const DiscreteNoise& noise, int steps);

/// What an observer is shown: the texts after a step.
struct SamplerStep {
  int64_t step = 0, steps = 0;  // counts from 1; 0 shows the start
  double time = 0;
  const std::vector<std::vector<int32_t>>& tokens;  // with mask ids
};
using SamplerObserver = std::function<void(const SamplerStep&)>;

struct SamplerOptions {
  TokenFilter filter;
  int64_t rows_per_call = 4096;  // tokens the network works on at a time
  SamplerObserver observer;
};

/// Ancestral sampling (Austin et al. 2021, equation 4; Sahoo et al. 2024, equation 6): from t to s each
/// masked token appears with probability (alpha_bar_s - alpha_bar_t) / (1 - alpha_bar_t), drawn from p(x_0 |
/// x_t). Which tokens appear does not depend on the network, so it is drawn first: a step that shows nothing
/// new in a text costs nothing, and only tokens that appear are projected onto the vocabulary. Each text has
/// random numbers of its own: it does not depend on its neighbours in the batch.
Samples ancestral_sample(const Denoiser& denoiser, const std::vector<Canvas>& start, const SamplingGrid& grid,
                         Generator& generator, const SamplerOptions& options = {});

/// First-hitting sampling (Zheng et al. 2024, arXiv 2409.02908, section 4): with n tokens masked the next one
/// appears when the mask probability has fallen by the factor u^(1/n), u uniform, at a place evenly drawn.
/// One call of the network a token, and the distribution of ancestral sampling with infinitely many steps.
Samples first_hitting_sample(const Denoiser& denoiser, const std::vector<Canvas>& start,
                             const MaskingSchedule& schedule, Generator& generator,
                             const SamplerOptions& options = {});

/// Of the masked tokens of a text, the one whose place is decided most clearly appears next: the place where
/// the most likely token leads the second by the largest probability (Kim et al. 2025, arXiv 2502.06768,
/// section 4, "top-K probability margin" with one token a step). One call of the network a token, as for
/// first-hitting sampling, but not its distribution: places that hang together wait for one another, so texts
/// contradict themselves less often. All masked tokens are projected onto the vocabulary. A network that
/// depends on time is told the one at which the share of masked tokens, of all in the text, is to be
/// expected. options.filter acts on the token that is drawn; margins are taken at temperature 1, without the
/// forbidden tokens.
Samples top_margin_sample(const Denoiser& denoiser, const std::vector<Canvas>& start,
                          const MaskingSchedule& schedule, Generator& generator,
                          const SamplerOptions& options = {});

}  // namespace haze

#pragma once

#include "haze/diffusion/gaussian/ddpm.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_bound.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_network.h"

/// Li et al. 2022, "Diffusion-LM improves controllable text generation". Words become vectors EMB(w), which
/// are learned; vectors become noise; a network goes back, and its vectors are rounded to words.
namespace haze {

/// The model without its network.
struct DiffusionLm {
  WordProcess process;
  Parameterisation prediction = Parameterisation::x_0;  // of WordOutput::vector
  ReverseVariance variance = ReverseVariance::small;
};

/// The draws of prepare(): t of each text, and the noise of x_0 and of x_t.
struct NoisyTexts : Prepared {
  TextBatch texts;               // with padding, where it is modelled
  std::vector<int32_t> t;        // of each text, in 1..T
  Tensor x_0_noise, x_t_noise;   // float32 [rows, dimension]
  bool estimates_first = false;  // self-conditioning: the network is asked twice
};

/// Texts as the model sees them: padded to `length` rows with the word `padding`, or as they are where
/// padding < 0. Throws Error where one is longer.
TextBatch padded_texts(const TextBatch& texts, int64_t length, int32_t padding);

/// L_simple^e2e of section 4.1, as the paper's code weighs it: means over rows and numbers, summed.
///   |target - output|^2                      at t > 1; of x_0, epsilon or v
///   |EMB(w) - the x_0 that belongs to it|^2  at t = 1
///   |sqrt(alpha_bar_T) x_0|^2                of the prior: norms stay finite
///   -log p_theta(w | x_0)                    of the rounding: words stay apart
/// For outputs that are words, -log p(w | x_t) stands for the first two. Gradients reach EMB through x_0,
/// x_t, the target at t = 1, and p_theta(w | x_0).
Loss diffusion_lm_loss(const DiffusionLm& model, const WordNetwork& network, const NoisyTexts& noisy,
                       const ForwardContext& context);

/// Changes of the network's answer while sampling.
struct WordEstimateOptions {
  double temperature = 1;  // logits of words are divided by it; 0: the likeliest word
  Tensor offsets = {};     // [rows, words], added to logits of words; undefined: none
};

/// The estimate for noisy rows, WordReverseStep's: real [rows, dimension]. It is E[x_0 | x_t] where the
/// output is a vector, and E[EMB(w) | x_t] where it is words.
Tensor word_estimate(const DiffusionLm& model, const WordNetwork& network, const NoisyRows& input,
                     const WordEstimateOptions& options = {});

/// The model as its bound sees it. With self-conditioning each estimate is asked for twice, so that the
/// reverse process stays a Markov chain.
WordModel word_model(const DiffusionLm& model, const WordNetwork& network);

/// The estimate that belongs to an output.
WordEstimate estimate_of(WordOutput output);

}  // namespace haze

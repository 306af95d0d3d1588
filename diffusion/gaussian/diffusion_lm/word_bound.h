#pragma once

#include <functional>

#include "haze/diffusion/gaussian/diffusion_lm/word_process.h"

/// The variational bound of Li et al. 2022, equation 2 (section 4.1):
///   L_vlb^e2e(w) = E_q[L_vlb(x_0) + log q(x_0 | w) - log p_theta(w | x_0)].
/// Write L_vlb out, and let the terms of q take w in the place of x_0. That is the same sum, since
/// q(x_{0:T} | w) = q(x_T | w) prod_t q(x_{t-1} | x_t, w) is the distribution of the same chain:
///   -log p_theta(w) <= KL(q(x_T | w) || p(x_T)) + sum_{t=1..T} E KL(q(x_{t-1} | x_t, w) || p_theta(x_{t-1} |
///   x_t))
///                      + E[-log p_theta(w | x_0)].
/// The paper's form draws x_0 too. Here x_0 is integrated out of every KL, which lowers the variance of an
/// estimate and leaves its mean (word_bound_test).
namespace haze {

/// Texts and their embeddings.
struct EmbeddedTexts {
  Sequences sequences;
  Tensor ids;         // int32 [rows]
  Tensor embeddings;  // real [rows, dimension]: EMB(w)
};

/// The estimate for x_t [rows, dimension], which is at levels[i] of word_level() in sequence i.
using WordDenoiser = std::function<Tensor(const Tensor& x_t, const Sequences& sequences,
                                          const std::vector<NoiseLevel>& levels)>;
/// -log p_theta(w | x_0) of each row, x_0 [rows, dimension], ids int32 [rows] -> [rows].
using RoundingNats = std::function<Tensor(const Tensor& x_0, const Tensor& ids)>;

/// A model as its bound sees it.
struct WordModel {
  WordProcess process;
  WordEstimate estimate = WordEstimate::embedding;
  ReverseVariance variance = ReverseVariance::small;
  WordDenoiser denoise;
  RoundingNats rounding;
};

/// KL(q(x_T | w) || N(0, I)) of each text, exactly, in nats. All results are sums over the rows of a text.
std::vector<double> word_prior_nats(const WordProcess& process, const EmbeddedTexts& texts);

/// KL(q(x_{t-1} | x_t, w) || p_theta(x_{t-1} | x_t)) of each text at one draw of x_t; t in 1..T, one for each
/// text. In float64 after the network.
std::vector<double> word_term_nats(const WordModel& model, const EmbeddedTexts& texts,
                                   const std::vector<int32_t>& t, Generator& generator);

/// -log p_theta(w | x_0) at one draw of x_0.
std::vector<double> rounding_nats(const WordModel& model, const EmbeddedTexts& texts, Generator& generator);

/// How word_bound_nats() draws t: probabilities of 1..T. A quarter is uniform. A quarter is proportional to
/// the KL of standard normal numbers, as in bound_step_probabilities() (ddpm_bound.h): most of it where there
/// is little noise. Half is proportional to that of words at right angles, of norm sqrt(dimension): where
/// there is much. Two of them are confused with a probability of about exp(-dimension alpha^2 / (4 sigma^2)).
std::vector<double> word_step_probabilities(const WordProcess& process, int64_t dimension);

/// An unbiased estimate of the bound of each text: the prior, one draw of the rounding, and the term of one t
/// over its probability.
std::vector<double> word_bound_nats(const WordModel& model, const EmbeddedTexts& texts, Generator& generator);

}  // namespace haze

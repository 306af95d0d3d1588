#pragma once

#include "haze/diffusion/baselines/continuation.h"
#include "haze/diffusion/baselines/language_model.h"
#include "haze/diffusion/model.h"

namespace haze {

struct BeamSearchOptions {
  int64_t beam_size = 4;                  // at least 1
  double length_penalty = 0.6;            // alpha of length_penalty_of(), at least 0
  std::vector<int32_t> forbidden_tokens;  // never part of a text; the other probabilities are renormalised
  int64_t hypotheses_per_call = 128;      // that the network works on at a time; at least those of one text
  SampleObserver observer;                // may be empty
};

/// lp(Y) = ((5 + |Y|) / 6)^alpha (Wu et al. 2016, equation 14), for |Y| = length tokens.
double length_penalty_of(int64_t length, double alpha);

/// The text Y of the largest log p(Y | context, prompt) / lp(Y) that beam search finds; Y counts the tokens
/// after the prompt. At each step the beam_size most probable continuations by one token are kept. Those that
/// end, or are cut at end.max_length, leave the beam as candidates for the result. The search stops when
/// no continuation can beat the best candidate. With beam_size 1 it is greedy decoding. Throws Error where
/// check_continuations() does, where an option is outside its range, and where every token is forbidden.
Samples beam_search(const LanguageModel& model, std::span<const Continuation> continuations,
                    const TextEnd& end, const BeamSearchOptions& options);

}  // namespace haze

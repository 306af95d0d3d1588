#pragma once

#include "haze/diffusion/baselines/continuation.h"
#include "haze/diffusion/baselines/language_model.h"
#include "haze/diffusion/model.h"
#include "haze/diffusion/token_filter.h"

namespace haze {

struct AncestralOptions {
  TokenFilter filter;
  int64_t texts_per_call = 128;  // that the network works on at a time
  SampleObserver observer;       // may be empty
};

/// Draws each token from p(token | the tokens before it), after the filter (Radford et al. 2019; top-k: Fan
/// et al. 2018; top-p: Holtzman et al. 2020). A text stops at its end token, which it holds, or is cut at
/// end.max_length. Texts of equal length grow together, and those that have stopped cost nothing. Each text
/// has random numbers of its own: it depends on the generator and its index alone. Throws Error where
/// check_continuations() or check_filter() does.
Samples sample_continuations(const LanguageModel& model, std::span<const Continuation> continuations,
                             const TextEnd& end, const AncestralOptions& options, Generator& generator);

}  // namespace haze

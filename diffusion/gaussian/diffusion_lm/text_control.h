#pragma once

#include <memory>

#include "haze/diffusion/gaussian/classifier_guidance.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_classifier.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_parser.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_sampler.h"
#include "haze/diffusion/gaussian/diffusion_lm/word_tagger.h"

namespace haze {

/// The classifiers that lead texts. Null where there is none.
struct TextClassifiers {
  std::shared_ptr<const WordClassifier> label;
  std::shared_ptr<const WordTagger> tags;
  std::shared_ptr<const WordParser> spans;
};

/// log p(c | x_t) of what each request wants, for x_t [requests, length, dimension]; empty where none wants
/// anything. Given x_t, a text's properties are taken as independent: the log of several is the sum of
/// theirs, which composes controls (Li et al. 2022, section 6.3). Tags are wanted of the first rows, and the
/// class 0 of those after them. Of spans that are all there are, every other span is wanted to be no phrase.
/// The canvas must outlive the result. Throws Error where a classifier or class is missing, or a request asks
/// for more rows than its text has.
LogProbability text_control(const TextClassifiers& classifiers, std::span<const Request> requests,
                            const WordCanvas& canvas);

}  // namespace haze

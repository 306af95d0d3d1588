#include "haze/diffusion/baselines/beam_search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "haze/diffusion/token_filter.h"

namespace haze {
namespace {

constexpr double kImpossible = -std::numeric_limits<double>::infinity();

struct Hypothesis {
  std::vector<int32_t> text;
  double log_probability = 0;
};

// A hypothesis and the token that it goes on with.
struct Extension {
  size_t hypothesis;
  int32_t token;
  double log_probability;

  // More probable first; of equals, the earlier.
  friend bool operator<(const Extension& a, const Extension& b) {
    if (a.log_probability != b.log_probability) return a.log_probability > b.log_probability;
    return a.hypothesis != b.hypothesis ? a.hypothesis < b.hypothesis : a.token < b.token;
  }
};

// The search for one text.
class Beam {
 public:
  Beam(std::vector<int32_t> prompt, const TextEnd& end, const BeamSearchOptions& options)
      : end_(end), options_(options), prompt_length_(std::ssize(prompt)) {
    alive_.push_back({std::move(prompt), 0});
  }

  int64_t width() const { return std::ssize(alive_); }
  std::vector<int32_t> last_tokens() const {
    std::vector<int32_t> tokens;
    for (const Hypothesis& hypothesis : alive_) tokens.push_back(hypothesis.text.back());
    return tokens;
  }
  /// The result so far: the best text that has ended, otherwise the most probable one of the beam.
  const std::vector<int32_t>& text() const { return alive_.empty() ? best_.text : alive_.front().text; }

  /// Goes on by one token, with log_p [width, vocabulary]. Returns where the new hypotheses come from.
  std::vector<size_t> advance(const double* log_p, int64_t vocabulary) {
    std::vector<size_t> origins;
    std::vector<Hypothesis> next;
    for (const Extension& extension : best_extensions(log_p, vocabulary)) {
      Hypothesis hypothesis{alive_[extension.hypothesis].text, extension.log_probability};
      hypothesis.text.push_back(extension.token);
      if (end_.reached(hypothesis.text)) {
        finish(std::move(hypothesis));
      } else {
        origins.push_back(extension.hypothesis);
        next.push_back(std::move(hypothesis));
      }
    }
    alive_ = std::move(next);
    if (alive_.empty() && best_score_ == kImpossible)
      fail("beam search: no token has a probability; are all of them forbidden?");
    if (!alive_.empty() && best_score_ >= highest_possible_score()) {
      alive_.clear();
      origins.clear();
    }
    return origins;
  }

 private:
  // A heap of the best so far, the worst of them on top: few of a vocabulary's tokens ever enter it.
  std::vector<Extension> best_extensions(const double* log_p, int64_t vocabulary) const {
    std::vector<Extension> best;
    for (size_t i = 0; i < alive_.size(); ++i) {
      const double* row = log_p + static_cast<int64_t>(i) * vocabulary;
      for (int32_t token = 0; token < vocabulary; ++token) {
        if (std::isnan(row[token]))
          fail("beam search: the network's logits are no distribution: NaN or infinity");
        if (row[token] == kImpossible) continue;
        const Extension extension{i, token, alive_[i].log_probability + row[token]};
        const bool full = std::ssize(best) == options_.beam_size;
        if (full && !(extension < best.front())) continue;
        if (full) {
          std::pop_heap(best.begin(), best.end());
          best.pop_back();
        }
        best.push_back(extension);
        std::push_heap(best.begin(), best.end());
      }
    }
    std::sort_heap(best.begin(), best.end());
    return best;
  }

  void finish(Hypothesis hypothesis) {
    const int64_t length = std::ssize(hypothesis.text) - prompt_length_;
    const double score = hypothesis.log_probability / length_penalty_of(length, options_.length_penalty);
    if (score <= best_score_) return;
    best_score_ = score;
    best_ = std::move(hypothesis);
  }

  // Log-probabilities only fall, and are negative: the longest text divides them by most.
  double highest_possible_score() const {
    return alive_.front().log_probability /
           length_penalty_of(end_.max_length - prompt_length_, options_.length_penalty);
  }

  TextEnd end_;
  BeamSearchOptions options_;
  int64_t prompt_length_;
  std::vector<Hypothesis> alive_;  // the most probable first
  Hypothesis best_;
  double best_score_ = kImpossible;
};

// log p of the next token of each row, float64, without those that are forbidden.
Tensor next_log_probabilities(const Tensor& logits, const TokenFilter& filter) {
  return to(log_softmax(cast(filtered_logits(logits, filter), Dtype::float64)), Device::cpu);
}

// All beams go on by one token, with log_p [all hypotheses, vocabulary]. Returns what they read next, int32
// [all hypotheses, 1]; nothing where every search is over.
Tensor advance(std::vector<Beam>& beams, const Tensor& log_p, Decoder& decoder) {
  const int64_t vocabulary = log_p.size(1);
  std::vector<int32_t> entries, next;
  int64_t row = 0;  // of the beam's first hypothesis
  for (Beam& beam : beams) {
    const int64_t width = beam.width();
    if (width == 0) continue;
    for (size_t origin : beam.advance(log_p.data<double>() + row * vocabulary, vocabulary))
      entries.push_back(static_cast<int32_t>(row + static_cast<int64_t>(origin)));
    for (int32_t token : beam.last_tokens()) next.push_back(token);
    row += width;
  }
  if (next.empty()) return {};
  decoder.select(Tensor::from(entries, {std::ssize(entries)}));
  return Tensor::from(next, {std::ssize(next), 1});
}

void check_options(const BeamSearchOptions& options, int64_t vocabulary) {
  if (options.beam_size < 1) fail("beam search: beam_size {} is not positive", options.beam_size);
  if (!(options.length_penalty >= 0 && std::isfinite(options.length_penalty)))
    fail("beam search: length_penalty {} is not a number of at least 0", options.length_penalty);
  check_filter({.forbidden = options.forbidden_tokens}, vocabulary);
}

}  // namespace

double length_penalty_of(int64_t length, double alpha) {
  return std::pow((5 + static_cast<double>(length)) / 6, alpha);
}

Samples beam_search(const LanguageModel& model, std::span<const Continuation> continuations,
                    const TextEnd& end, const BeamSearchOptions& options) {
  const NoGradient scope;
  check_continuations(continuations, end);
  check_options(options, model.vocabulary());
  const TokenFilter filter{.forbidden = options.forbidden_tokens};
  const int64_t texts_per_call = std::max<int64_t>(1, options.hypotheses_per_call / options.beam_size);
  const auto groups = equal_length_groups(continuations, end, texts_per_call);
  Samples samples;
  for (const Continuation& one : continuations) samples.texts.push_back(one.prompt);
  const int64_t steps = std::ssize(groups) * end.max_length;
  int64_t step = 0;
  const auto observe = [&] {
    if (options.observer) options.observer({.step = step, .steps = steps, .texts = &samples.texts});
  };
  observe();
  for (const auto& group : groups) {
    const int64_t last_step = step + end.max_length;
    const std::unique_ptr<Decoder> decoder = model.decoder();
    std::vector<Beam> beams;
    for (size_t i : group) beams.emplace_back(continuations[i].prompt, end, options);
    Tensor tokens = first_tokens(continuations, group);
    while (tokens.defined()) {
      samples.network_calls += tokens.size(0);
      const Tensor logits = decoder->read(tokens);
      tokens = advance(beams, next_log_probabilities(logits, filter), *decoder);
      for (size_t i = 0; i < group.size(); ++i) samples.texts[group[i]] = beams[i].text();
      step = tokens.defined() ? step + 1 : last_step;
      observe();
    }
  }
  return samples;
}

}  // namespace haze

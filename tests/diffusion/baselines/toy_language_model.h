#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/baselines/continuation.h"
#include "haze/diffusion/baselines/language_model.h"

#include "engine/statistics.h"

/// A language model small enough to enumerate, and what follows from its definition, in double.
namespace haze::diffusion_test {

using Tokens = std::vector<int32_t>;

/// Four tokens, the last of which ends a text; each history has logits of its own.
class ToyLanguageModel : public LanguageModel {
 public:
  static constexpr int32_t kVocabulary = 4, kEnd = 3;

  int64_t vocabulary() const override { return kVocabulary; }
  std::unique_ptr<Decoder> decoder() const override { return std::make_unique<ToyDecoder>(); }

  /// Unnormalised, so that a constant for each history must not matter.
  static std::vector<double> logits(const Tokens& history) {
    uint64_t hash = 1469598103934665603u;
    for (int32_t token : history) hash = (hash ^ static_cast<uint64_t>(token + 1)) * 1099511628211u;
    Generator generator(hash);
    std::vector<double> result;
    const double constant = 10 * generator.uniform();
    for (int32_t v = 0; v < kVocabulary; ++v) result.push_back(constant + 4 * generator.uniform());
    return result;
  }

 private:
  class ToyDecoder : public Decoder {
   public:
    Tensor read(const Tensor& tokens) override {
      if (histories_.empty()) histories_.resize(static_cast<size_t>(tokens.size(0)));
      if (std::ssize(histories_) != tokens.size(0)) fail("the decoder reads {} texts", histories_.size());
      std::vector<double> result;
      for (size_t i = 0; i < histories_.size(); ++i) {
        for (int64_t j = 0; j < tokens.size(1); ++j)
          histories_[i].push_back(static_cast<int32_t>(tokens.at({static_cast<int64_t>(i), j})));
        for (double value : logits(histories_[i])) result.push_back(value);
      }
      return Tensor::from(result, {std::ssize(histories_), kVocabulary});
    }
    void select(const Tensor& entries) override {
      std::vector<Tokens> chosen;
      for (int32_t i : entries.to_vector<int32_t>()) chosen.push_back(histories_.at(static_cast<size_t>(i)));
      histories_ = chosen;
    }

   private:
    std::vector<Tokens> histories_;
  };
};

/// p(v | history), from logits and without the forbidden tokens.
inline std::vector<double> probabilities(const std::vector<double>& logits, const Tokens& forbidden = {}) {
  std::vector<double> p;
  double total = 0;
  const double largest = *std::max_element(logits.begin(), logits.end());
  for (double x : logits) p.push_back(std::exp(x - largest));
  for (int32_t v : forbidden) p[static_cast<size_t>(v)] = 0;
  for (double x : p) total += x;
  for (double& x : p) x /= total;
  return p;
}

using LogitsOf = std::function<std::vector<double>(const Tokens& history)>;

/// log p of every text that ends or is cut after `end.max_length` tokens, given that it goes on from `text`
/// and that `context` was read before.
inline void enumerate(const LogitsOf& logits, const Tokens& context, const TextEnd& end,
                      const Tokens& forbidden, const Tokens& text, double log_p,
                      std::map<Tokens, double>& result) {
  if (end.reached(text)) {
    result[text] = log_p;
    return;
  }
  Tokens history = context;
  history.insert(history.end(), text.begin(), text.end());
  const std::vector<double> p = probabilities(logits(history), forbidden);
  for (size_t v = 0; v < p.size(); ++v) {
    if (p[v] == 0) continue;
    Tokens longer = text;
    longer.push_back(static_cast<int32_t>(v));
    enumerate(logits, context, end, forbidden, longer, log_p + std::log(p[v]), result);
  }
}

inline std::map<Tokens, double> enumerated(const LogitsOf& logits, const Continuation& continuation,
                                           const TextEnd& end, const Tokens& forbidden = {}) {
  std::map<Tokens, double> result;
  enumerate(logits, continuation.context, end, forbidden, continuation.prompt, 0, result);
  return result;
}

/// Pearson's test of texts against log-probabilities, at 99.9 %.
inline bool follows(const std::vector<Tokens>& texts, const std::map<Tokens, double>& log_p) {
  std::map<Tokens, int64_t> counted;
  for (const Tokens& text : texts) ++counted[text];
  std::vector<int64_t> counts;
  std::vector<double> expected;
  int64_t rare_count = 0, seen = 0;
  double rare = 0;
  for (const auto& [text, log_probability] : log_p) {
    const double here = std::exp(log_probability) * static_cast<double>(texts.size());
    const int64_t count = counted[text];
    seen += count;
    if (here < 5) {  // too few for the statistic to be chi-squared: taken together
      rare += here;
      rare_count += count;
    } else {
      counts.push_back(count);
      expected.push_back(here);
    }
  }
  REQUIRE(seen == std::ssize(texts));
  if (rare > 0) {
    counts.push_back(rare_count);
    expected.push_back(rare);
  }
  return test::chi_squared(counts, expected) < test::chi_squared_limit(counts.size() - 1);
}

}  // namespace haze::diffusion_test

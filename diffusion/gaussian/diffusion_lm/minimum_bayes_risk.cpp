#include "haze/diffusion/gaussian/diffusion_lm/minimum_bayes_risk.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "haze/engine/error.h"

namespace haze {
namespace {

using Counts = std::map<std::vector<int32_t>, int64_t>;

Counts n_grams(std::span<const int32_t> text, size_t n) {
  Counts counts;
  for (size_t i = 0; i + n <= text.size(); ++i) ++counts[{text.begin() + i, text.begin() + i + n}];
  return counts;
}

// n-grams of the text that the reference has too, each at most as often.
int64_t matches(const Counts& text, const Counts& reference) {
  int64_t sum = 0;
  for (const auto& [gram, count] : text) {
    if (const auto found = reference.find(gram); found != reference.end())
      sum += std::min(count, found->second);
  }
  return sum;
}

}  // namespace

double sentence_bleu(std::span<const int32_t> text, std::span<const int32_t> reference) {
  constexpr size_t kLongest = 4;
  if (text.empty()) return 0;
  double log_precision = 0;
  for (size_t n = 1; n <= kLongest; ++n) {
    const double raised = n > 1 ? 1 : 0;
    const auto all = static_cast<double>(text.size() >= n ? text.size() - n + 1 : 0);
    const auto found = static_cast<double>(matches(n_grams(text, n), n_grams(reference, n)));
    if (found + raised == 0) return 0;
    log_precision += std::log((found + raised) / (all + raised)) / kLongest;
  }
  const double brevity = 1 - static_cast<double>(reference.size()) / static_cast<double>(text.size());
  return std::exp(log_precision + std::min(brevity, 0.0));
}

size_t minimum_bayes_risk(std::span<const std::vector<int32_t>> candidates) {
  if (candidates.empty()) fail("minimum_bayes_risk: there is no candidate");
  size_t best = 0;
  double best_score = -1;
  for (size_t i = 0; i < candidates.size(); ++i) {
    double score = 0;
    for (size_t j = 0; j < candidates.size(); ++j) {
      if (j != i) score += sentence_bleu(candidates[i], candidates[j]);
    }
    if (score > best_score) {
      best = i;
      best_score = score;
    }
  }
  return best;
}

}  // namespace haze

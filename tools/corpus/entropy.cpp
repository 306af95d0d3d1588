#include "haze/tools/corpus/entropy.h"

#include <cmath>

namespace haze {
namespace {

/// The same properties of one symbol, or of a sequence of symbols.
struct Measure {
  double entropy = 0, variance = 0, derivations = 1;
  std::vector<double> lengths = {1};  // [n]: probability of n words
};

std::vector<double> convolve(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> sum(a.size() + b.size() - 1, 0.0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.size(); ++j) sum[i + j] += a[i] * b[j];
  }
  return sum;
}

/// Of independent parts written one after the other.
Measure sequence(const std::vector<Grammar::Symbol>& symbols, const std::vector<Measure>& of) {
  Measure result;
  for (const Grammar::Symbol symbol : symbols) {
    if (symbol.is_terminal) {
      result.lengths.insert(result.lengths.begin(), 0.0);
      continue;
    }
    const Measure& part = of[static_cast<std::size_t>(symbol.id)];
    result.entropy += part.entropy;
    result.variance += part.variance;
    result.derivations *= part.derivations;
    result.lengths = convolve(result.lengths, part.lengths);
  }
  return result;
}

Measure choice(const Grammar& grammar, int32_t nonterminal, const std::vector<Measure>& of) {
  Measure result;
  result.derivations = 0;
  result.lengths.clear();
  double second_moment = 0;  // of the surprisal expected after the choice
  for (const int32_t id : grammar.nonterminal(nonterminal).rules) {
    const Grammar::Rule& rule = grammar.rule(id);
    const double probability = std::exp(rule.log_probability);
    const Measure rest = sequence(rule.right, of);
    const double surprisal = rest.entropy - rule.log_probability;
    result.entropy += probability * surprisal;
    second_moment += probability * surprisal * surprisal;
    result.variance += probability * rest.variance;
    result.derivations += rest.derivations;
    if (rest.lengths.size() > result.lengths.size()) result.lengths.resize(rest.lengths.size(), 0.0);
    for (std::size_t n = 0; n < rest.lengths.size(); ++n) result.lengths[n] += probability * rest.lengths[n];
  }
  result.variance += second_moment - result.entropy * result.entropy;
  return result;
}

}  // namespace

GrammarMeasures measure(const Grammar& grammar) {
  std::vector<Measure> of(grammar.nonterminals().size());
  for (const int32_t id : grammar.bottom_up()) of[static_cast<std::size_t>(id)] = choice(grammar, id, of);
  const Measure& root = of[static_cast<std::size_t>(grammar.root())];
  GrammarMeasures result;
  result.entropy_nats = root.entropy;
  result.surprisal_variance = root.variance;
  result.length_distribution = root.lengths;
  result.log10_derivations = std::log10(root.derivations);
  for (std::size_t n = 0; n < root.lengths.size(); ++n) {
    const double probability = root.lengths[n];
    result.mean_words += static_cast<double>(n) * probability;
    if (probability > 0) result.length_entropy_nats -= probability * std::log(probability);
  }
  return result;
}

}  // namespace haze

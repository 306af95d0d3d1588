#include "haze/tools/corpus/recogniser.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "haze/tools/corpus/spelling.h"

namespace haze {
namespace {

/// Whether a word of the grammar at position `index` would be written as the text has it.
bool is_written_as(const std::string& word, const std::vector<std::string>& text, std::size_t index) {
  const bool next_takes_an = index + 1 < text.size() && takes_an(text[index + 1]);
  const std::string spelled = word == "a" && next_takes_an ? "an" : word;
  const bool starts_sentence = index == 0 || text[index - 1] == ".";
  return text[index] == (starts_sentence ? with_capital(spelled) : spelled);
}

/// Words of the longest text.
std::size_t longest_text(const Grammar& grammar) {
  std::vector<std::size_t> longest(grammar.nonterminals().size());
  for (const int32_t id : grammar.bottom_up()) {
    std::size_t& of_symbol = longest[static_cast<std::size_t>(id)];
    for (const int32_t rule : grammar.nonterminal(id).rules) {
      std::size_t words = 0;
      for (const Grammar::Symbol symbol : grammar.rule(rule).right)
        words += symbol.is_terminal ? 1 : longest[static_cast<std::size_t>(symbol.id)];
      of_symbol = std::max(of_symbol, words);
    }
  }
  return longest[static_cast<std::size_t>(grammar.root())];
}

}  // namespace

/// For each nonterminal and position, where its words can end and with what probability, worked out when
/// asked.
class InsideChart {
 public:
  using Ends = std::map<std::size_t, double>;  // end position to probability

  InsideChart(const Recogniser& recogniser, const std::vector<std::string>& text)
      : recogniser_(recogniser),
        grammar_(recogniser.grammar_),
        size_(text.size()),
        cells_(grammar_.nonterminals().size() * (size_ + 1)) {
    for (std::size_t i = 0; i < size_; ++i) {
      std::vector<int32_t>& fitting = fitting_.emplace_back();
      for (std::size_t id = 0; id < grammar_.terminals().size(); ++id) {
        const std::string& word = grammar_.terminals()[id].word;
        if (is_written_as(word, text, i)) fitting.push_back(static_cast<int32_t>(id));
      }
    }
  }

  /// Probability that the root makes the whole text.
  double whole() { return probability(ends(grammar_.root(), 0), size_); }

  Derivation derivation() {
    Derivation result;
    derive(grammar_.root(), 0, size_, result);
    return result;
  }

  /// The cheapest way to lay fragments end to end, from the last word to the first.
  std::vector<Fragment> fragments() {
    constexpr int kFragment = 1, kOtherWord = 2;
    struct Best {
      int cost = 0;
      std::size_t end = 0;
      int32_t nonterminal = -1;
    };
    std::vector<Best> best(size_ + 1);
    for (std::size_t begin = size_; begin-- > 0;) {
      best[begin] = {best[begin + 1].cost + kOtherWord, begin + 1, -1};
      for (std::size_t id = 0; id < grammar_.nonterminals().size(); ++id) {
        const auto nonterminal = static_cast<int32_t>(id);
        if (grammar_.nonterminal(nonterminal).label.empty()) continue;
        for (const auto& [end, inside] : ends(nonterminal, begin)) {
          if (end == begin || best[end].cost + kFragment >= best[begin].cost) continue;
          best[begin] = {best[end].cost + kFragment, end, nonterminal};
        }
      }
    }
    std::vector<Fragment> result;
    for (std::size_t begin = 0; begin < size_; begin = best[begin].end) {
      result.push_back({begin, best[begin].end, best[begin].nonterminal, {}});
      if (best[begin].nonterminal >= 0)
        derive(best[begin].nonterminal, begin, best[begin].end, result.back().derivation);
    }
    return result;
  }

 private:
  struct Cell {
    bool is_known = false;
    Ends ends;
  };

  static double probability(const Ends& ends, std::size_t end) {
    const auto found = ends.find(end);
    return found == ends.end() ? 0 : found->second;
  }

  bool fits(int32_t terminal, std::size_t begin) const {
    return begin < size_ && std::binary_search(fitting_[begin].begin(), fitting_[begin].end(), terminal);
  }

  bool can_begin(int32_t nonterminal, std::size_t begin) const {
    const auto index = static_cast<std::size_t>(nonterminal);
    if (recogniser_.can_be_empty_[index]) return true;
    if (begin == size_) return false;
    return std::any_of(fitting_[begin].begin(), fitting_[begin].end(), [&](int32_t terminal) {
      return recogniser_.first_[index][static_cast<std::size_t>(terminal)];
    });
  }

  const Ends& ends(int32_t nonterminal, std::size_t begin) {
    Cell& cell = cells_[static_cast<std::size_t>(nonterminal) * (size_ + 1) + begin];
    if (cell.is_known) return cell.ends;
    cell.is_known = true;
    if (!can_begin(nonterminal, begin)) return cell.ends;
    for (const int32_t id : grammar_.nonterminal(nonterminal).rules) {
      const Grammar::Rule& rule = grammar_.rule(id);
      for (const auto& [end, inside] : sequence_ends(rule.right, begin)) {
        cell.ends[end] += std::exp(rule.log_probability) * inside;
      }
    }
    return cell.ends;
  }

  Ends sequence_ends(const std::vector<Grammar::Symbol>& symbols, std::size_t begin) {
    Ends reached = {{begin, 1.0}};
    for (const Grammar::Symbol symbol : symbols) {
      Ends next;
      for (const auto& [middle, before] : reached) {
        if (symbol.is_terminal) {
          if (fits(symbol.id, middle)) next[middle + 1] += before;
        } else {
          for (const auto& [end, inside] : ends(symbol.id, middle)) next[end] += before * inside;
        }
      }
      if (next.empty()) return next;
      reached = std::move(next);
    }
    return reached;
  }

  /// Appends a derivation of words [begin, end), which has to exist.
  void derive(int32_t nonterminal, std::size_t begin, std::size_t end, Derivation& derivation) {
    for (const int32_t id : grammar_.nonterminal(nonterminal).rules) {
      const std::vector<Grammar::Symbol>& right = grammar_.rule(id).right;
      std::vector<std::size_t> cuts;  // where each symbol of the right side ends
      if (!cut(right, begin, end, cuts)) continue;
      derivation.push_back(id);
      for (std::size_t i = 0; i < right.size(); ++i) {
        if (!right[i].is_terminal) derive(right[i].id, i == 0 ? begin : cuts[i - 1], cuts[i], derivation);
      }
      return;
    }
  }

  bool cut(const std::vector<Grammar::Symbol>& right, std::size_t begin, std::size_t end,
           std::vector<std::size_t>& cuts) {
    if (cuts.size() == right.size()) return begin == end;
    const Grammar::Symbol symbol = right[cuts.size()];
    const auto try_end = [&](std::size_t middle) {
      cuts.push_back(middle);
      if (cut(right, middle, end, cuts)) return true;
      cuts.pop_back();
      return false;
    };
    if (symbol.is_terminal) return fits(symbol.id, begin) && try_end(begin + 1);
    const Ends& possible = ends(symbol.id, begin);
    return std::any_of(possible.begin(), possible.end(),
                       [&](const auto& entry) { return try_end(entry.first); });
  }

  const Recogniser& recogniser_;
  const Grammar& grammar_;
  std::size_t size_;
  std::vector<std::vector<int32_t>> fitting_;  // terminals that could be each word, ascending
  std::vector<Cell> cells_;
};

Recogniser::Recogniser(const Grammar& grammar)
    : grammar_(grammar),
      first_(grammar.nonterminals().size(), std::vector<bool>(grammar.terminals().size())),
      can_be_empty_(grammar.nonterminals().size()),
      longest_(longest_text(grammar)) {
  for (const int32_t id : grammar.bottom_up()) {
    const auto left = static_cast<std::size_t>(id);
    for (const int32_t rule : grammar.nonterminal(id).rules) {
      bool all_empty = true;
      for (const Grammar::Symbol symbol : grammar.rule(rule).right) {
        const auto index = static_cast<std::size_t>(symbol.id);
        if (symbol.is_terminal) {
          first_[left][index] = true;
        } else {
          for (std::size_t t = 0; t < first_[left].size(); ++t) {
            if (first_[index][t]) first_[left][t] = true;
          }
        }
        all_empty = !symbol.is_terminal && can_be_empty_[index];
        if (!all_empty) break;
      }
      if (all_empty) can_be_empty_[left] = true;
    }
  }
}

std::optional<double> Recogniser::log_probability(const std::vector<std::string>& words) const {
  // The chart of a long text would take much memory.
  if (words.size() > longest_) return std::nullopt;
  const double probability = InsideChart(*this, words).whole();
  if (probability <= 0) return std::nullopt;
  return std::log(probability);
}

std::optional<Derivation> Recogniser::derivation(const std::vector<std::string>& words) const {
  if (words.size() > longest_) return std::nullopt;
  InsideChart chart(*this, words);
  if (chart.whole() <= 0) return std::nullopt;
  return chart.derivation();
}

std::vector<Fragment> Recogniser::fragments(const std::vector<std::string>& words) const {
  return InsideChart(*this, words).fragments();
}

}  // namespace haze

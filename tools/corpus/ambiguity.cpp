#include "haze/tools/corpus/ambiguity.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "haze/tools/corpus/automaton.h"
#include "haze/tools/corpus/spelling.h"

namespace haze {
namespace {

using Pair = std::pair<int32_t, int32_t>;

/// Walks two stacks of a grammar side by side.
class AmbiguityFinder {
 public:
  explicit AmbiguityFinder(const Grammar& grammar) : grammar_(grammar), automaton_(grammar) {
    std::map<std::string, int32_t> classes;
    for (const Grammar::Terminal& terminal : grammar.terminals()) {
      const auto number = static_cast<int32_t>(classes.size());
      word_class_.push_back(classes.emplace(spelling_class(terminal.word), number).first->second);
    }
  }

  std::optional<std::string> find() {
    for (const int32_t id : grammar_.bottom_up()) {
      if (auto found = find_in_choice(id)) return found;
      for (const int32_t rule : grammar_.nonterminal(id).rules) {
        if (auto found = find_in_sequence(rule)) return found;
      }
    }
    return std::nullopt;
  }

 private:
  /// Two rules of one symbol with a text in common.
  std::optional<std::string> find_in_choice(int32_t nonterminal) {
    const std::vector<int32_t>& rules = grammar_.nonterminal(nonterminal).rules;
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const int32_t first = automaton_.push(grammar_.rule(rules[i]).right, 0, Automaton::kEmpty);
      for (std::size_t j = 0; j < i; ++j) {
        const int32_t second = automaton_.push(grammar_.rule(rules[j]).right, 0, Automaton::kEmpty);
        if (have_common_text(first, second)) {
          return fmt::format("<{}>: its rules in lines {} and {} can write the same words",
                             grammar_.nonterminal(nonterminal).name, grammar_.rule(rules[j]).line,
                             grammar_.rule(rules[i]).line);
        }
      }
    }
    return std::nullopt;
  }

  /// A symbol of a rule that can end at two places of one text, both times followed by what comes after it.
  std::optional<std::string> find_in_sequence(int32_t rule) {
    const std::vector<Grammar::Symbol>& right = grammar_.rule(rule).right;
    for (std::size_t i = 0; i + 1 < right.size(); ++i) {
      if (right[i].is_terminal) continue;
      const int32_t symbol = automaton_.push({right[i]}, 0, Automaton::kEmpty);
      const int32_t rest = automaton_.push(right, i + 1, Automaton::kEmpty);
      if (overlap(symbol, rest)) {
        return fmt::format("line {}: the end of <{}> and what follows it can share words",
                           grammar_.rule(rule).line, grammar_.nonterminal(right[i].id).name);
      }
    }
    return std::nullopt;
  }

  /// Calls `visit(next of first, next of second)` for every word that both can read.
  template <typename Visit>
  void step(int32_t first, int32_t second, Visit visit) {
    const std::vector<Automaton::Move>& from_first = automaton_.moves(first);
    const std::vector<Automaton::Move>& from_second = sorted_moves(second);
    const auto by_class = [this](const Automaton::Move& move, int32_t other) {
      return class_of(move) < other;
    };
    for (const Automaton::Move& a : from_first) {
      auto b = std::lower_bound(from_second.begin(), from_second.end(), class_of(a), by_class);
      for (; b != from_second.end() && class_of(*b) == class_of(a); ++b) visit(a.next, b->next);
    }
  }

  /// Whether some text can be read from both stacks. Every stack can read some text.
  bool have_common_text(int32_t first, int32_t second) {
    std::vector<Pair> waiting = {{first, second}};
    while (!waiting.empty()) {
      const auto [a, b] = waiting.back();
      waiting.pop_back();
      if (a == b || (automaton_.accepts(a) && automaton_.accepts(b))) return true;
      if (!disjoint_.insert(std::minmax(a, b)).second) continue;
      step(a, b, [&](int32_t x, int32_t y) { waiting.emplace_back(x, y); });
    }
    return false;
  }

  /// Whether there are words x, y and at least one word w with x and x w texts of `symbol`, w y and y of
  /// `rest`.
  bool overlap(int32_t symbol, int32_t rest) {
    std::set<std::tuple<bool, int32_t, int32_t>> seen;
    // The first reader leaves `symbol` after x, the second after x w. `apart`: the first has left it.
    std::vector<std::tuple<bool, int32_t, int32_t>> waiting = {{false, symbol, symbol}};
    bool found = false;
    while (!waiting.empty() && !found) {
      const auto [apart, a, b] = waiting.back();
      waiting.pop_back();
      if (!seen.insert({apart, a, b}).second) continue;
      if (apart) {
        step(a, b, [&](int32_t x, int32_t y) {
          found = found || (automaton_.accepts(y) && have_common_text(x, rest));
          waiting.emplace_back(true, x, y);
        });
      } else {
        step(a, b, [&](int32_t x, int32_t y) { waiting.emplace_back(false, x, y); });
        if (automaton_.accepts(a)) waiting.emplace_back(true, rest, b);
      }
    }
    return found;
  }

  int32_t class_of(const Automaton::Move& move) const {
    return word_class_[static_cast<std::size_t>(move.terminal)];
  }

  const std::vector<Automaton::Move>& sorted_moves(int32_t stack) {
    const auto [entry, is_new] = sorted_.try_emplace(stack);
    if (is_new) {
      entry->second = automaton_.moves(stack);
      std::sort(entry->second.begin(), entry->second.end(),
                [this](const auto& a, const auto& b) { return class_of(a) < class_of(b); });
    }
    return entry->second;
  }

  const Grammar& grammar_;
  Automaton automaton_;
  std::vector<int32_t> word_class_;  // of each terminal
  std::map<int32_t, std::vector<Automaton::Move>> sorted_;
  // Pairs of stacks without a common text. A search adds its pairs before it knows; the first one that fails
  // is the last one made.
  std::set<Pair> disjoint_;
};

}  // namespace

std::optional<std::string> find_ambiguity(const Grammar& grammar) {
  return AmbiguityFinder(grammar).find();
}

std::set<std::string> written_vocabulary(const Grammar& grammar) {
  struct Position {
    int32_t stack;
    bool starts_sentence, follows_article, article_has_capital;
    auto operator<=>(const Position&) const = default;
  };
  Automaton automaton(grammar);
  std::set<std::string> words;
  std::set<Position> seen;
  std::vector<Position> waiting = {
      {automaton.push({{false, grammar.root()}}, 0, Automaton::kEmpty), true, false, false}};
  while (!waiting.empty()) {
    const Position here = waiting.back();
    waiting.pop_back();
    if (!seen.insert(here).second) continue;
    for (const Automaton::Move& move : automaton.moves(here.stack)) {
      const std::string& word = grammar.terminal(move.terminal).word;
      if (here.follows_article) {
        const std::string_view article = takes_an(word) ? "an" : "a";
        words.insert(here.article_has_capital ? with_capital(article) : std::string(article));
      }
      const bool is_article = word == "a";
      if (!is_article) words.insert(here.starts_sentence ? with_capital(word) : word);
      waiting.push_back({move.next, word == ".", is_article, is_article && here.starts_sentence});
    }
  }
  return words;
}

}  // namespace haze

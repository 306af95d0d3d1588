#include "haze/tools/corpus/derivation.h"

#include <fmt/ranges.h>

#include "haze/engine/error.h"
#include "haze/tools/corpus/spelling.h"

namespace haze {
namespace {

void sample_symbol(const Grammar& grammar, int32_t nonterminal, Generator& generator,
                   Derivation& derivation) {
  const Grammar::Nonterminal& left = grammar.nonterminal(nonterminal);
  uint64_t draw = generator.below(left.total_weight);
  std::size_t choice = 0;
  while (draw >= grammar.rule(left.rules[choice]).weight) draw -= grammar.rule(left.rules[choice++]).weight;
  derivation.push_back(left.rules[choice]);
  for (const Grammar::Symbol symbol : grammar.rule(left.rules[choice]).right) {
    if (!symbol.is_terminal) sample_symbol(grammar, symbol.id, generator, derivation);
  }
}

/// Walks a derivation from left to right.
class Reader {
 public:
  Reader(const Grammar& grammar, const Derivation& derivation)
      : grammar_(grammar), derivation_(derivation), values_(grammar.fields().size()) {}

  Realisation read(int32_t nonterminal) {
    read_nonterminal(nonterminal);
    if (position_ != derivation_.size())
      fail("a derivation has {} rules too many", derivation_.size() - position_);
    Realisation result;
    result.words = written_words(words_);
    result.tags = std::move(tags_);
    write_tree(result);
    for (std::size_t field = 0; field < values_.size(); ++field) {
      if (!values_[field].empty()) result.fields.emplace_back(grammar_.fields()[field], values_[field]);
    }
    return result;
  }

 private:
  void read_nonterminal(int32_t id) {
    if (position_ == derivation_.size()) fail("a derivation ends too early");
    const Grammar::Rule& rule = grammar_.rule(derivation_[position_++]);
    if (rule.left != id)
      fail("a derivation has a rule that is not one of <{}>", grammar_.nonterminal(id).name);
    const std::string& label = grammar_.nonterminal(id).label;
    const std::size_t first_word = words_.size();
    if (!label.empty()) brackets_.push_back({first_word, "(" + label});
    for (const Grammar::Symbol symbol : rule.right) {
      if (symbol.is_terminal) {
        read_terminal(symbol.id);
      } else {
        read_nonterminal(symbol.id);
      }
    }
    if (!label.empty()) brackets_.push_back({words_.size(), ")"});
    for (const Grammar::Statement& statement : rule.statements) {
      values_[static_cast<std::size_t>(statement.field)] =
          statement.value.empty()
              ? fmt::format("{}", fmt::join(words_.begin() + static_cast<std::ptrdiff_t>(first_word),
                                            words_.end(), " "))
              : statement.value;
    }
  }

  void read_terminal(int32_t id) {
    const Grammar::Terminal& terminal = grammar_.terminal(id);
    words_.push_back(terminal.word);
    penn_tags_.push_back(terminal.tag);
    tags_.push_back(terminal.universal_tag);
  }

  void write_tree(Realisation& result) const {
    std::size_t bracket = 0;
    for (std::size_t word = 0; word <= words_.size(); ++word) {
      for (; bracket < brackets_.size() && brackets_[bracket].before_word == word; ++bracket) {
        const bool opens = brackets_[bracket].text != ")";
        if (opens && !result.tree.empty()) result.tree += ' ';
        result.tree += brackets_[bracket].text;
      }
      if (word < words_.size()) result.tree += fmt::format(" ({} {})", penn_tags_[word], result.words[word]);
    }
  }

  struct Bracket {
    std::size_t before_word;
    std::string text;
  };

  const Grammar& grammar_;
  const Derivation& derivation_;
  std::size_t position_ = 0;
  std::vector<std::string> words_, tags_, penn_tags_, values_;
  std::vector<Bracket> brackets_;
};

}  // namespace

Derivation sample_derivation(const Grammar& grammar, Generator& generator) {
  Derivation derivation;
  sample_symbol(grammar, grammar.root(), generator, derivation);
  return derivation;
}

double log_probability(const Grammar& grammar, const Derivation& derivation) {
  double sum = 0;
  for (const int32_t rule : derivation) sum += grammar.rule(rule).log_probability;
  return sum;
}

Realisation realise(const Grammar& grammar, const Derivation& derivation) {
  return realise(grammar, derivation, grammar.root());
}

Realisation realise(const Grammar& grammar, const Derivation& derivation, int32_t nonterminal) {
  return Reader(grammar, derivation).read(nonterminal);
}

}  // namespace haze

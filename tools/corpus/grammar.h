#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// A probabilistic context-free grammar without recursion, whose derivations carry words, part-of-speech
/// tags, a constituency tree and field values. It is read from a text:
///
///     fields: name | price            the fields, in the order in which they are reported
///     # a comment
///     <S:text> = 3 <NP:name> is/VBZ <adj> ./.      a rule; 3 is its weight, 1 where there is none
///       | {price=high} dear/JJ                     another way to write the same symbol
///       | ()                                       the empty sequence
///
/// `<NP:name>` is a symbol whose words make a constituent NP of the tree; a symbol without a colon (`<adj>`)
/// makes none. `word/TAG` is a word with its Penn Treebank tag. `{price=high}` states the value of a field,
/// `{name}` says that the words of this rule are the value. The first symbol defined is the root. A rule's
/// probability is its weight over the sum of the weights of its symbol's rules, whatever stands around the
/// symbol.
///
/// The program settles two things of spelling, which follow from the words. It writes `an` for `a/DT` before
/// a vowel sound, and gives a capital to the first word of a text and to every word after a full stop.
class Grammar {
 public:
  struct Symbol {
    bool is_terminal = false;
    int32_t id = 0;  ///< index into terminals() or nonterminals()
  };
  struct Terminal {
    std::string word, tag;
    std::string universal_tag;  ///< as universal_tag() of spelling.h gives it
  };
  struct Nonterminal {
    std::string name;   ///< as written between < and >
    std::string label;  ///< of its constituent in the tree; empty where it makes none
    std::vector<int32_t> rules;
    uint64_t total_weight = 0;
  };
  struct Statement {
    int32_t field = 0;  ///< index into fields()
    std::string value;  ///< empty where the words of the rule are the value
  };
  struct Rule {
    int32_t left = 0;
    std::vector<Symbol> right;
    std::vector<Statement> statements;
    uint64_t weight = 1;
    double log_probability = 0;  ///< natural logarithm of weight / total weight
    int line = 0;                ///< of the text where the rule stands, from 1
  };

  /// Reads a grammar. Throws Error with the line number where the text is malformed, or where a symbol is
  /// used but not defined, defined twice, never used or recursive. It also throws where a rule stands twice,
  /// and where a derivation could state one field twice.
  explicit Grammar(std::string_view text);

  const std::vector<std::string>& fields() const { return fields_; }
  const std::vector<Terminal>& terminals() const { return terminals_; }
  const std::vector<Nonterminal>& nonterminals() const { return nonterminals_; }
  const std::vector<Rule>& rules() const { return rules_; }
  int32_t root() const { return 0; }

  /// All nonterminals, each after those that its rules use: the order of every exact recursion.
  const std::vector<int32_t>& bottom_up() const { return bottom_up_; }

  const Rule& rule(int32_t id) const { return rules_[static_cast<std::size_t>(id)]; }
  const Terminal& terminal(int32_t id) const { return terminals_[static_cast<std::size_t>(id)]; }
  const Nonterminal& nonterminal(int32_t id) const { return nonterminals_[static_cast<std::size_t>(id)]; }

 private:
  friend class GrammarReader;

  void compute_probabilities();
  void order_bottom_up();
  void check_rules_differ() const;
  void check_fields_stated_once() const;

  std::vector<std::string> fields_;
  std::vector<Terminal> terminals_;
  std::vector<Nonterminal> nonterminals_;
  std::vector<Rule> rules_;
  std::vector<int32_t> bottom_up_;
};

inline bool operator==(const Grammar::Symbol& a, const Grammar::Symbol& b) {
  return a.is_terminal == b.is_terminal && a.id == b.id;
}

}  // namespace haze

#include "haze/tools/corpus/grammar.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/error.h"
#include "haze/tools/corpus/grammar_reader.h"

namespace haze {
namespace {

enum class Mark { kNew, kOpen, kDone };

/// Depth-first: appends `id` to `order` after everything that its rules use.
void visit(const Grammar& grammar, int32_t id, std::vector<Mark>& marks, std::vector<int32_t>& order) {
  marks[static_cast<std::size_t>(id)] = Mark::kOpen;
  for (const int32_t rule_id : grammar.nonterminal(id).rules) {
    const Grammar::Rule& rule = grammar.rule(rule_id);
    for (const Grammar::Symbol symbol : rule.right) {
      if (symbol.is_terminal) continue;
      const Mark mark = marks[static_cast<std::size_t>(symbol.id)];
      if (mark == Mark::kOpen) {
        fail("grammar line {}: <{}> can contain itself; a grammar must not be recursive", rule.line,
             grammar.nonterminal(symbol.id).name);
      }
      if (mark == Mark::kNew) visit(grammar, symbol.id, marks, order);
    }
  }
  marks[static_cast<std::size_t>(id)] = Mark::kDone;
  order.push_back(id);
}

}  // namespace

Grammar::Grammar(std::string_view text) {
  GrammarReader(*this).read(text);
  compute_probabilities();
  order_bottom_up();
  check_rules_differ();
  check_fields_stated_once();
}

void Grammar::compute_probabilities() {
  for (Rule& rule : rules_) {
    rule.log_probability =
        std::log(static_cast<double>(rule.weight) / static_cast<double>(nonterminal(rule.left).total_weight));
  }
}

void Grammar::order_bottom_up() {
  std::vector<Mark> marks(nonterminals_.size(), Mark::kNew);
  visit(*this, root(), marks, bottom_up_);
  for (std::size_t id = 0; id < marks.size(); ++id) {
    if (marks[id] == Mark::kNew) {
      fail("grammar line {}: <{}> cannot be reached from the root <{}>",
           rule(nonterminals_[id].rules.front()).line, nonterminals_[id].name, nonterminal(root()).name);
    }
  }
}

void Grammar::check_rules_differ() const {
  for (const Nonterminal& left : nonterminals_) {
    for (std::size_t i = 0; i < left.rules.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        if (rule(left.rules[i]).right == rule(left.rules[j]).right) {
          fail("grammar line {}: this way to write <{}> already stands in line {}", rule(left.rules[i]).line,
               left.name, rule(left.rules[j]).line);
        }
      }
    }
  }
}

void Grammar::check_fields_stated_once() const {
  // How often a derivation of each nonterminal states each field, at most.
  std::vector<std::vector<int>> most(nonterminals_.size(), std::vector<int>(fields_.size(), 0));
  for (const int32_t id : bottom_up_) {
    for (const int32_t rule_id : nonterminal(id).rules) {
      std::vector<int> counts(fields_.size(), 0);
      for (const Statement& statement : rule(rule_id).statements) {
        ++counts[static_cast<std::size_t>(statement.field)];
      }
      for (const Symbol symbol : rule(rule_id).right) {
        if (symbol.is_terminal) continue;
        for (std::size_t field = 0; field < fields_.size(); ++field) {
          counts[field] += most[static_cast<std::size_t>(symbol.id)][field];
        }
      }
      for (std::size_t field = 0; field < fields_.size(); ++field) {
        if (counts[field] > 1) {
          fail("grammar line {}: a text could state the field \"{}\" twice", rule(rule_id).line,
               fields_[field]);
        }
        int& seen = most[static_cast<std::size_t>(id)][field];
        seen = std::max(seen, counts[field]);
      }
    }
  }
}

}  // namespace haze

#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// Fills a Grammar from its text, line by line.
class GrammarReader {
 public:
  explicit GrammarReader(Grammar& grammar) : grammar_(grammar) {}

  /// Throws Error with the line number where the text is malformed.
  void read(std::string_view text);

 private:
  void read_line(std::string_view line);
  void read_fields(std::string_view list);
  void read_definition(std::string_view line);
  void read_alternatives(std::string_view line);
  void read_token(std::string_view token, Grammar::Rule& rule, bool& is_empty);
  void read_statement(std::string_view inside, Grammar::Rule& rule);
  void read_terminal(std::string_view token, Grammar::Rule& rule);
  void finish_rule(Grammar::Rule& rule, int tokens, bool is_empty);
  void check_all_defined() const;
  int32_t symbol(std::string_view token);

  Grammar& grammar_;
  int line_number_ = 0;
  int32_t left_ = -1;                                // the symbol being defined
  std::map<std::string, int32_t, std::less<>> ids_;  // of nonterminals
  std::map<std::pair<std::string, std::string>, int32_t> terminal_ids_;
  std::map<int32_t, int> first_use_;  // the line in which a nonterminal is first used
};

}  // namespace haze

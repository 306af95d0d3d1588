#include "haze/tools/corpus/grammar_reader.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "haze/engine/error.h"
#include "haze/tools/corpus/spelling.h"

namespace haze {
namespace {

constexpr std::string_view kBlanks = " \t\r";

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Takes the next token off the front of `rest`: up to a blank, or to the closing brace of {...}.
std::string_view next_token(std::string_view& rest) {
  const std::size_t brace = rest.starts_with('{') ? rest.find('}') : std::string_view::npos;
  const std::size_t end = brace != std::string_view::npos ? brace + 1 : rest.find_first_of(kBlanks);
  const std::string_view token = rest.substr(0, end);
  rest = without_blanks(rest.substr(token.size()));
  return token;
}

bool is_symbol(std::string_view token) {
  return token.size() > 2 && token.front() == '<' && token.back() == '>';
}

std::optional<uint64_t> as_weight(std::string_view token) {
  uint64_t weight = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), weight);
  if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return weight;
}

}  // namespace

void GrammarReader::read(std::string_view text) {
  while (!text.empty()) {
    ++line_number_;
    const std::size_t end = text.find('\n');
    read_line(without_blanks(text.substr(0, end)));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
  check_all_defined();
}

void GrammarReader::read_line(std::string_view line) {
  constexpr std::string_view kFields = "fields:";
  if (line.empty() || line.starts_with('#')) return;
  if (line.starts_with(kFields)) {
    read_fields(line.substr(kFields.size()));
  } else if (line.starts_with('|') || line.starts_with('=')) {
    const bool begins = left_ >= 0 && grammar_.nonterminal(left_).rules.empty();
    if (left_ < 0 || begins != line.starts_with('=')) {
      fail("grammar line {}: rules are written <symbol> = first | second", line_number_);
    }
    read_alternatives(line.substr(1));
  } else {
    read_definition(line);
  }
}

void GrammarReader::read_fields(std::string_view list) {
  while (!list.empty()) {
    const std::size_t end = list.find('|');
    grammar_.fields_.emplace_back(without_blanks(list.substr(0, end)));
    list = end == std::string_view::npos ? std::string_view() : list.substr(end + 1);
  }
}

void GrammarReader::read_definition(std::string_view line) {
  const std::string_view name = next_token(line);
  if (!is_symbol(name)) {
    fail("grammar line {}: expected <symbol> = ..., | ..., or a comment, got \"{}\"", line_number_, name);
  }
  left_ = symbol(name);
  const Grammar::Nonterminal& defined = grammar_.nonterminal(left_);
  if (!defined.rules.empty()) {
    fail("grammar line {}: <{}> is already defined in line {}", line_number_, defined.name,
         grammar_.rule(defined.rules.front()).line);
  }
  if (line.empty()) return;
  if (!line.starts_with('=')) fail("grammar line {}: expected = after {}", line_number_, name);
  read_alternatives(line.substr(1));
}

void GrammarReader::read_alternatives(std::string_view line) {
  line = without_blanks(line);
  for (bool more = true; more;) {
    Grammar::Rule rule{left_, {}, {}, 1, 0, line_number_};
    bool is_empty = false;
    int tokens = 0;
    more = false;
    while (!line.empty() && !more) {
      const std::string_view token = next_token(line);
      more = token == "|";
      const std::optional<uint64_t> weight = tokens == 0 ? as_weight(token) : std::nullopt;
      if (weight && rule.weight == 1) {
        rule.weight = *weight;
      } else if (!more) {
        read_token(token, rule, is_empty);
        ++tokens;
      }
    }
    finish_rule(rule, tokens, is_empty);
  }
}

void GrammarReader::read_token(std::string_view token, Grammar::Rule& rule, bool& is_empty) {
  if (token == "()") {
    is_empty = true;
  } else if (token.starts_with('{')) {
    if (!token.ends_with('}')) fail("grammar line {}: \"{}\" lacks its closing brace", line_number_, token);
    read_statement(token.substr(1, token.size() - 2), rule);
  } else if (is_symbol(token)) {
    const int32_t id = symbol(token);
    first_use_.emplace(id, line_number_);
    rule.right.push_back({false, id});
  } else {
    read_terminal(token, rule);
  }
}

void GrammarReader::read_statement(std::string_view inside, Grammar::Rule& rule) {
  const std::size_t equals = inside.find('=');
  const std::string_view name = without_blanks(inside.substr(0, equals));
  const auto found = std::find(grammar_.fields_.begin(), grammar_.fields_.end(), name);
  if (found == grammar_.fields_.end()) {
    fail("grammar line {}: \"{}\" is not among the fields declared in the line fields:", line_number_, name);
  }
  Grammar::Statement statement{static_cast<int32_t>(found - grammar_.fields_.begin()), {}};
  if (equals != std::string_view::npos) {
    statement.value = without_blanks(inside.substr(equals + 1));
    if (statement.value.empty()) fail("grammar line {}: the field \"{}\" has no value", line_number_, name);
  }
  rule.statements.push_back(std::move(statement));
}

void GrammarReader::read_terminal(std::string_view token, Grammar::Rule& rule) {
  const std::size_t slash = token.rfind('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == token.size()) {
    fail("grammar line {}: \"{}\" is neither a <symbol> nor a word/TAG", line_number_, token);
  }
  const std::pair key(std::string(token.substr(0, slash)), std::string(token.substr(slash + 1)));
  const auto [entry, is_new] = terminal_ids_.emplace(key, static_cast<int32_t>(grammar_.terminals_.size()));
  if (is_new) {
    try {
      grammar_.terminals_.push_back({key.first, key.second, universal_tag(key.first, key.second)});
    } catch (const Error& error) {
      fail("grammar line {}: {}", line_number_, error.what());
    }
  }
  rule.right.push_back({true, entry->second});
}

void GrammarReader::finish_rule(Grammar::Rule& rule, int tokens, bool is_empty) {
  if (tokens == 0) fail("grammar line {}: an alternative is empty; write () for no words", line_number_);
  if (is_empty && !rule.right.empty()) fail("grammar line {}: () stands beside other words", line_number_);
  if (!is_empty && rule.right.empty()) fail("grammar line {}: a rule only states fields", line_number_);
  if (rule.weight == 0) fail("grammar line {}: a weight has to be at least 1", line_number_);
  Grammar::Nonterminal& left = grammar_.nonterminals_[static_cast<std::size_t>(left_)];
  left.rules.push_back(static_cast<int32_t>(grammar_.rules_.size()));
  left.total_weight += rule.weight;
  grammar_.rules_.push_back(std::move(rule));
}

void GrammarReader::check_all_defined() const {
  if (grammar_.nonterminals_.empty()) fail("the grammar has no rules");
  for (int32_t id = 0; id < static_cast<int32_t>(grammar_.nonterminals_.size()); ++id) {
    const Grammar::Nonterminal& nonterminal = grammar_.nonterminal(id);
    const auto use = first_use_.find(id);
    if (nonterminal.rules.empty()) {
      fail("grammar line {}: <{}> is not defined", use == first_use_.end() ? line_number_ : use->second,
           nonterminal.name);
    }
    if (id != grammar_.root() && use == first_use_.end()) {
      fail("grammar line {}: <{}> is never used", grammar_.rule(nonterminal.rules.front()).line,
           nonterminal.name);
    }
  }
}

int32_t GrammarReader::symbol(std::string_view token) {
  const std::string name(token.substr(1, token.size() - 2));
  const auto [entry, is_new] = ids_.emplace(name, static_cast<int32_t>(grammar_.nonterminals_.size()));
  if (is_new) {
    const std::size_t colon = name.find(':');
    grammar_.nonterminals_.push_back({name, colon == std::string::npos ? "" : name.substr(0, colon), {}, 0});
  }
  return entry->second;
}

}  // namespace haze

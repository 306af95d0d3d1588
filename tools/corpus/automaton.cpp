#include "haze/tools/corpus/automaton.h"

namespace haze {

Automaton::Automaton(const Grammar& grammar) : grammar_(grammar) {
  State empty;
  empty.is_expanded = empty.accepts = true;
  states_.push_back(empty);
}

int32_t Automaton::push(const std::vector<Grammar::Symbol>& symbols, std::size_t begin, int32_t stack) {
  for (std::size_t i = symbols.size(); i > begin; --i) {
    const Grammar::Symbol top = symbols[i - 1];
    const auto [entry, is_new] = numbers_.try_emplace({top.is_terminal ? ~top.id : top.id, stack},
                                                      static_cast<int32_t>(states_.size()));
    if (is_new) {
      State state;
      state.top = top;
      state.rest = stack;
      states_.push_back(std::move(state));
    }
    stack = entry->second;
  }
  return stack;
}

const std::vector<Automaton::Move>& Automaton::moves(int32_t stack) {
  expand(stack);
  return states_[static_cast<std::size_t>(stack)].moves;
}

bool Automaton::accepts(int32_t stack) {
  expand(stack);
  return states_[static_cast<std::size_t>(stack)].accepts;
}

void Automaton::expand(int32_t stack) {
  if (states_[static_cast<std::size_t>(stack)].is_expanded) return;
  const Grammar::Symbol top = states_[static_cast<std::size_t>(stack)].top;
  const int32_t rest = states_[static_cast<std::size_t>(stack)].rest;
  std::vector<Move> found;
  bool can_end = false;
  if (top.is_terminal) {
    found.push_back({top.id, rest});
  } else {
    for (const int32_t rule : grammar_.nonterminal(top.id).rules) {
      const int32_t after = push(grammar_.rule(rule).right, 0, rest);
      const std::vector<Move>& more = moves(after);
      found.insert(found.end(), more.begin(), more.end());
      can_end = can_end || accepts(after);
    }
  }
  State& state = states_[static_cast<std::size_t>(stack)];
  state.moves = std::move(found);
  state.accepts = can_end;
  state.is_expanded = true;
}

}  // namespace haze

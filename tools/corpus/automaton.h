#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <utility>
#include <vector>

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// A grammar as a machine that reads words from left to right. Its state is what is still to be read: a stack
/// of symbols. A grammar without recursion reaches finitely many stacks. A stack is known by its number;
/// equal stacks have equal numbers.
class Automaton {
 public:
  struct Move {
    int32_t terminal;
    int32_t next;  ///< the stack after reading it
  };

  static constexpr int32_t kEmpty = 0;  ///< the stack with nothing left to read

  explicit Automaton(const Grammar& grammar);

  /// `stack` with the symbols from `begin` on, up to the end of `symbols`, put on top of it.
  int32_t push(const std::vector<Grammar::Symbol>& symbols, std::size_t begin, int32_t stack);

  /// Every word that can come next, with what is left after it. A word can occur several times. Valid as long
  /// as this Automaton.
  const std::vector<Move>& moves(int32_t stack);

  /// Whether the reading may end here.
  bool accepts(int32_t stack);

 private:
  struct State {
    Grammar::Symbol top;
    int32_t rest = 0;
    bool is_expanded = false, accepts = false;
    std::vector<Move> moves;
  };

  void expand(int32_t stack);

  const Grammar& grammar_;
  std::deque<State> states_;                                // so that what moves() returned stays where it is
  std::map<std::pair<int32_t, int32_t>, int32_t> numbers_;  // (top, rest) to stack
};

}  // namespace haze

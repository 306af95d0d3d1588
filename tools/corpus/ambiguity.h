#pragma once

#include <optional>
#include <set>
#include <string>

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// Looks for two derivations with the same text, through all texts of the grammar, however many there are.
/// Returns none where there are none: a proof that the grammar is unambiguous, so that the entropy of its
/// texts is the entropy of its derivations. Else a sentence that names the rules.
///
/// A grammar is unambiguous when no two rules of a symbol have a text in common, and no rule's right side
/// splits into its symbols in two ways. That is theorem 4 of Brabrand, Giegerich & Møller, "Analyzing
/// ambiguity of context-free grammars", 2010. Without recursion, both are decided exactly by walking two
/// automata side by side. Words that differ only by a capital, or as `a` and `an`, count as the same, which
/// is more than needed.
std::optional<std::string> find_ambiguity(const Grammar& grammar);

/// Every word that a text of the grammar can hold, as written.
std::set<std::string> written_vocabulary(const Grammar& grammar);

}  // namespace haze

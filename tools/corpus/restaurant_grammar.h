#pragma once

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// The built-in grammar of descriptions of restaurants: one to three sentences that give a place's name and
/// some of its type, food, price, customer rating, area, family friendliness and a landmark near it.
/// Unambiguous.
const Grammar& restaurant_grammar();

}  // namespace haze

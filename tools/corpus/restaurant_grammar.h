#pragma once

#include "haze/tools/corpus/grammar.h"

namespace haze {

/// The built-in grammar of descriptions of restaurants, each of one to three sentences. A text gives a
/// place's name and some of its type, food, price, customer rating, area, family friendliness and a landmark
/// near it. Unambiguous.
const Grammar& restaurant_grammar();

}  // namespace haze

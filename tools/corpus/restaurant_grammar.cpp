#include "haze/tools/corpus/restaurant_grammar.h"

#include <string>

#include "haze/tools/corpus/restaurant_rules.h"

namespace haze {

const Grammar& restaurant_grammar() {
  static const Grammar grammar(std::string(kRestaurantTexts) + std::string(kRestaurantPhrases) +
                               std::string(kRestaurantWords));
  return grammar;
}

}  // namespace haze

#pragma once

#include <string_view>

namespace haze {

// The rules of the built-in grammar, in the notation of grammar.h; read one after the other.
extern const std::string_view kRestaurantTexts;    ///< which sentences a text is made of, and the sentences
extern const std::string_view kRestaurantPhrases;  ///< the phrases that say the fields
extern const std::string_view kRestaurantWords;    ///< names, landmarks, foods, numbers

}  // namespace haze

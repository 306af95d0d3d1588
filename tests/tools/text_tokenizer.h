#pragma once

#include <string>

#include "haze/tools/text/tokenizer.h"

namespace haze::testing {

/// The tokeniser of every token of a text.
inline Tokenizer tokenizer_of(const std::string& kind, const std::string& text) {
  TokenCounter counter(tokenizer_kind(kind));
  counter.add(text);
  return counter.build(1);
}

}  // namespace haze::testing

#pragma once

#include <span>
#include <string>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// A request of `length` tokens, all open but, where ends are fixed, the end token.
Request open_request(int64_t length, bool ends_are_fixed);

/// The tokens of a text. Throws Error, beginning with `what`, at a word or character that the tokeniser does
/// not know, with a spelling that it does know where there is one. `neighbours` says on which sides other
/// tokens follow.
std::vector<int32_t> known_tokens(const Tokenizer& tokenizer, const std::string& text, const char* what,
                                  TextNeighbours neighbours = {});

/// The request of a text that begins with `prompt`. Throws Error where it does not fit, or is not known.
Request prompted_request(const Tokenizer& tokenizer, const std::string& prompt, int64_t max_length,
                         bool ends_are_fixed);

/// The tokens of a source text. Throws Error where it is empty, does not fit, or is not known.
std::vector<int32_t> source_tokens(const Tokenizer& tokenizer, const std::string& source,
                                   int64_t max_source_length);

/// A text as people read it: without the end token.
std::string written_text(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

/// A block cut from a stream of texts: each text on a line of its own.
std::string written_stream(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

}  // namespace haze

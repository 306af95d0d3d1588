#pragma once

#include <span>
#include <string>
#include <vector>

#include "haze/diffusion/model.h"
#include "haze/tools/text/tokenizer.h"

namespace haze {

/// A request of `length` tokens, all open but, where ends are fixed, the end token.
Request open_request(int64_t length, bool ends_are_fixed);

/// The request of a text in which every "_" is to be filled in by one token; where ends are fixed, an end
/// token is added. Throws Error where the text has no "_", is longer than `max_length`, or has a word or
/// character that the tokeniser does not know.
Request gapped_request(const Tokenizer& tokenizer, const std::string& text, int64_t max_length,
                       bool ends_are_fixed = true);

/// The request of a text that begins with `prompt`. Throws Error where it does not fit, or is not known.
Request prompted_request(const Tokenizer& tokenizer, const std::string& prompt, int64_t max_length);

/// The tokens of a source text. Throws Error where it is empty, does not fit, or is not known.
std::vector<int32_t> source_tokens(const Tokenizer& tokenizer, const std::string& source,
                                   int64_t max_source_length);

/// A text as people read it: without the end token.
std::string written_text(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

/// A block cut from a stream of texts: each text on a line of its own.
std::string written_stream(const Tokenizer& tokenizer, std::span<const int32_t> tokens);

}  // namespace haze

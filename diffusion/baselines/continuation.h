#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "haze/engine/tensor.h"

/// Prompts, contexts and ends of texts: shared by the ways of decoding.
namespace haze {

/// A text to be continued.
struct Continuation {
  std::vector<int32_t> context;  // read before the text's first token: a source, a start symbol; not empty
  std::vector<int32_t> prompt;   // the text's first tokens

  int64_t length() const { return std::ssize(context) + std::ssize(prompt); }
};

/// The two ends that a text can have.
struct TextEnd {
  int32_t end_id = 0;      // the last token of a text
  int64_t max_length = 1;  // tokens of a text, its prompt and end token among them: it is cut there

  bool reached(const std::vector<int32_t>& text) const {
    return std::ssize(text) >= max_length || (!text.empty() && text.back() == end_id);
  }
};

/// Throws Error where a context is empty, and where a prompt is longer than max_length or holds the end
/// token.
void check_continuations(std::span<const Continuation> continuations, const TextEnd& end);

/// Indices of continuations that can go through the network together: those that are not complete, with
/// contexts and prompts of equal length, at most `most` at a time.
std::vector<std::vector<size_t>> equal_length_groups(std::span<const Continuation> continuations,
                                                     const TextEnd& end, int64_t most);

/// Contexts and prompts of a group, int32 [group, length].
Tensor first_tokens(std::span<const Continuation> continuations, std::span<const size_t> group);

}  // namespace haze

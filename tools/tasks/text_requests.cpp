#include "haze/tools/tasks/text_requests.h"

#include <algorithm>
#include <cctype>

#include "haze/engine/error.h"

namespace haze {
namespace {

bool knows_all(const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<int32_t> tokens = tokenizer.encode(text);
  return std::find(tokens.begin(), tokens.end(), Tokenizer::kUnknown) == tokens.end();
}

constexpr const char* kPunctuation = ".,;:!?";

// The end of an error about punctuation that the model knows only as the end of words.
std::string suggestion_for_marks(const Tokenizer& tokenizer, const std::string& marks) {
  for (int32_t id = Tokenizer::kUnknown + 1; id < tokenizer.vocabulary_size(); ++id) {
    const std::string_view token = tokenizer.token(id);
    if (tokenizer.is(TokenizerKind::word) && token.size() > marks.size() && token.ends_with(marks)) {
      return fmt::format("; in its texts '{}' is part of a word, such as '{}': a gap, or a word, holds both",
                         marks, token);
    }
  }
  return "";
}

// "; did you mean 'pub .'?" for the word 'pub.': what the model knows of a word that it does not, with
// another first letter or with its punctuation set apart; nothing where that does not help.
std::string suggestion_for(const Tokenizer& tokenizer, const std::string& word) {
  if (word.find_first_not_of(kPunctuation) == std::string::npos) return suggestion_for_marks(tokenizer, word);
  const size_t bare = word.find_last_not_of(kPunctuation) + 1;
  std::string punctuation;
  for (const char mark : word.substr(bare)) punctuation += {' ', mark};
  std::string small = word.substr(0, bare), capital = small;
  if (!small.empty()) {
    small[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(small[0])));
    capital[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(capital[0])));
  }
  for (const std::string& letters : {word.substr(0, bare), small, capital}) {
    if (!letters.empty() && letters + punctuation != word && knows_all(tokenizer, letters + punctuation))
      return fmt::format("; did you mean '{}'?", letters + punctuation);
  }
  return "";
}

// The first token of a text that the tokeniser does not know; there is one.
std::string first_unknown(const Tokenizer& tokenizer, const std::string& text, TextNeighbours neighbours) {
  const std::vector<int32_t> ids = tokenizer.encode(text, neighbours);
  const auto unknown = std::find(ids.begin(), ids.end(), Tokenizer::kUnknown) - ids.begin();
  return tokenizer.split(text, neighbours).at(static_cast<size_t>(unknown));
}

// The blanks beside a mark with which the model knows it; empty where it does not know the mark at all.
std::string known_joins(const Tokenizer& tokenizer, std::string_view mark) {
  for (int32_t id = Tokenizer::kUnknown + 1; id < tokenizer.vocabulary_size(); ++id) {
    if (tokenizer.shown(id) != mark) continue;
    const std::vector<std::string_view> tokens{"a", tokenizer.token(id), "b"};
    return fmt::format(" with these blanks beside it; it knows '{}'", join_word_punctuation(tokens));
  }
  return "";
}

// The end of the sentence that the model does not know a token.
std::string unknown_token(const Tokenizer& tokenizer, const std::string& token) {
  if (!tokenizer.is(TokenizerKind::word_punctuation))
    return fmt::format("'{}'{}", token, suggestion_for(tokenizer, token));
  const std::string shown(without_joiners(token)), joins = known_joins(tokenizer, shown);
  return fmt::format("'{}'{}", shown, joins.empty() ? suggestion_for(tokenizer, shown) : joins);
}

void append_open(Request& request) {
  request.start.push_back(Tokenizer::kPad);
  request.fixed.push_back(0);
}

void append_end(Request& request) {
  request.start.push_back(Tokenizer::kEnd);
  request.fixed.push_back(1);
}

// Whether a prompt is split as if a word followed at once. A blank at its end is the one before that word. An
// opening mark at its end, which has a blank or nothing before it, is known only beside a word.
bool word_follows_prompt(const Tokenizer& tokenizer, const std::string& prompt) {
  if (prompt.ends_with(' ')) return true;
  const std::vector<int32_t> alone = tokenizer.encode(prompt),
                             beside = tokenizer.encode(prompt, {.after = true});
  if (alone.empty() || alone.back() != Tokenizer::kUnknown) return false;
  return beside.back() != Tokenizer::kUnknown &&
         tokenizer.token(beside.back()).starts_with(tokenizer.shown(beside.back()));
}

}  // namespace

Request open_request(int64_t length, bool ends_are_fixed) {
  Request request;
  for (int64_t i = 0; i + ends_are_fixed < length; ++i) append_open(request);
  if (ends_are_fixed) append_end(request);
  return request;
}

std::vector<int32_t> known_tokens(const Tokenizer& tokenizer, const std::string& text, const char* what,
                                  TextNeighbours neighbours) {
  std::vector<int32_t> tokens = tokenizer.encode(text, neighbours);
  if (std::find(tokens.begin(), tokens.end(), Tokenizer::kUnknown) == tokens.end()) return tokens;
  fail("{}: the model does not know the {} {}", what, tokenizer.unit(),
       unknown_token(tokenizer, first_unknown(tokenizer, text, neighbours)));
}

Request prompted_request(const Tokenizer& tokenizer, const std::string& prompt, int64_t max_length,
                         bool ends_are_fixed) {
  Request request;
  request.start =
      known_tokens(tokenizer, prompt, "prompt", {.after = word_follows_prompt(tokenizer, prompt)});
  request.fixed.assign(request.start.size(), 1);
  if (std::ssize(request.start) + 1 > max_length) {
    fail("prompt: it has {} tokens, and the model takes {} with {}", request.start.size(), max_length,
         ends_are_fixed ? "the end token" : "a new one");
  }
  return request;
}

std::vector<int32_t> source_tokens(const Tokenizer& tokenizer, const std::string& source,
                                   int64_t max_source_length) {
  std::vector<int32_t> tokens = known_tokens(tokenizer, source, "source");
  if (tokens.empty()) fail("source: the text is empty");
  if (std::ssize(tokens) > max_source_length)
    fail("source: the text has {} tokens, the model takes {}", tokens.size(), max_source_length);
  return tokens;
}

std::string written_text(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  if (!tokens.empty() && tokens.back() == Tokenizer::kEnd) tokens = tokens.first(tokens.size() - 1);
  return tokenizer.decode(tokens);
}

std::string written_stream(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  std::string stream;
  auto first = tokens.begin();
  while (first != tokens.end()) {
    const auto end = std::find(first, tokens.end(), Tokenizer::kEnd);
    if (first != tokens.begin()) stream += '\n';
    stream += tokenizer.decode({first, end});
    first = end == tokens.end() ? end : end + 1;
  }
  return stream;
}

}  // namespace haze

#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "haze/tools/text/word_punctuation.h"

namespace haze {

/// The kinds of token.
enum class TokenizerKind {
  word,              ///< what stands between blanks
  character,         ///< one UTF-8 code point
  word_punctuation,  ///< a word, a punctuation mark or white space (word_punctuation.h)
};

/// The kind called "word", "character" or "word-punctuation". Throws Error for any other name.
TokenizerKind tokenizer_kind(std::string_view name);

/// Finds a std::string key by a std::string_view without making a string of it.
struct TokenHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
template <typename Value>
using TokenMap = std::unordered_map<std::string, Value, TokenHash, std::equal_to<>>;

/// Text <-> token ids in [0, vocabulary_size()).
///
/// Ids 0 to 2 are always kPad, kEnd and kUnknown. The mask of absorbing-state diffusion is not a token of the
/// vocabulary: it has the id mask_id(), which encode never returns and decode shows as kMaskSign.
class Tokenizer {
 public:
  static constexpr int32_t kPad = 0, kEnd = 1, kUnknown = 2;
  static constexpr std::string_view kMaskSign = "░";

  /// Number of tokens, the three special ones included and the mask left out.
  int32_t vocabulary_size() const { return static_cast<int32_t>(tokens_.size()); }

  /// The mask's id, the first after the vocabulary.
  int32_t mask_id() const { return vocabulary_size(); }

  /// "word", "character" or "word-punctuation".
  std::string kind() const;

  /// The noun for one token: "word", "character" or "word or mark".
  std::string_view unit() const;

  /// The ids of a text, kUnknown for what is not in the vocabulary; no end token is added. The spellings of
  /// the special tokens mean nothing in a text: a word "<end>" is an unknown word. Throws Error where `text`
  /// is not valid UTF-8.
  /// The neighbours matter to words and punctuation alone: marks tell where no blank stands.
  std::vector<int32_t> encode(std::string_view text, TextNeighbours neighbours = {}) const;

  /// The tokens of a text as the vocabulary spells them, known or not. Throws as encode() does.
  std::vector<std::string> split(std::string_view text, TextNeighbours neighbours = {}) const;

  /// The text of some ids: words joined by blanks, characters one after the other, words and punctuation as
  /// join_word_punctuation() says. Special tokens and masks do not end the text but are shown as <pad>,
  /// <end>, <unk> and kMaskSign. Throws Error where an id is outside [0, mask_id()].
  std::string decode(std::span<const int32_t> ids) const;

  /// How the vocabulary spells one id. Throws Error where it is outside [0, mask_id()].
  std::string_view token(int32_t id) const;

  /// The same for people, without the joiners of punctuation.
  std::string_view shown(int32_t id) const;

  /// The kind and the tokens in the order of their ids, as JSON.
  std::string to_json() const;
  /// Reads what to_json gave. Throws Error naming `source` and what is wrong with it.
  static Tokenizer from_json(std::string_view text, const std::string& source);

  /// Writes tokenizer.json: the kind and the tokens in the order of their ids. Throws Error where it cannot.
  void save(const std::filesystem::path& path) const;

  /// Reads what save wrote. Throws Error naming the file and what is wrong with it.
  static Tokenizer load(const std::filesystem::path& path);

 private:
  friend class TokenCounter;
  Tokenizer(TokenizerKind kind, std::vector<std::string> tokens);

  TokenizerKind kind_;
  std::vector<std::string> tokens_;
  TokenMap<int32_t> ids_;
};

/// Counts the tokens of a training text and makes a tokeniser of the frequent ones.
class TokenCounter {
 public:
  explicit TokenCounter(TokenizerKind kind) : kind_(kind) {}

  /// Counts the tokens of one text. Throws Error where it is not valid UTF-8.
  void add(std::string_view text);

  /// A tokeniser of the tokens counted at least `min_count` times, the most frequent first and equally
  /// frequent ones in the order of their bytes. Throws Error where `min_count` is below 1 or no token is that
  /// frequent.
  Tokenizer build(int64_t min_count) const;

  /// The largest of 1..`most` for which at most `unknown_share` of the tokens counted become kUnknown.
  int64_t largest_min_count(int64_t most, double unknown_share) const;

 private:
  TokenizerKind kind_;
  TokenMap<int64_t> counts_;
  int64_t all_ = 0;  // tokens counted, those that no vocabulary holds among them
};

}  // namespace haze

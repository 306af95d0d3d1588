#pragma once

#include <array>
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

/// Every name that tokenizer_kind() takes.
std::vector<std::string> tokenizer_names();

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

  /// Number of tokens that the training text gave: all but the three special ones.
  int32_t learned_size() const { return vocabulary_size() - kUnknown - 1; }

  /// The mask's id, the first after the vocabulary.
  int32_t mask_id() const { return vocabulary_size(); }

  /// "word", "character" or "word-punctuation".
  std::string kind() const;
  bool is(TokenizerKind kind) const { return kind_ == kind; }

  /// The noun for one token and for several: "word", "character" or "word or mark".
  std::string_view unit() const;
  std::string_view units() const;

  /// What stands between tokens that are shown side by side: nothing between characters, a blank otherwise.
  std::string_view separator() const;

  /// The ids of a text, kUnknown for what is not in the vocabulary; no end token is added. No text gives a
  /// special token but kUnknown: "<end>" is an unknown word of TokenizerKind::word, and several tokens
  /// otherwise. Throws Error where `text` is not valid UTF-8.
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

/// The share of tokens that a cut-off may make unknown: data.min_count = 0 keeps to it, and training warns
/// beyond.
inline constexpr double kMostRareShare = 0.05;

/// The texts of a record, whose tokens are counted apart.
enum class TextSide { target, source };

/// Counts the tokens of training texts and makes a tokeniser of the frequent ones.
class TokenCounter {
 public:
  explicit TokenCounter(TokenizerKind kind) : kind_(kind) {}

  /// Counts the tokens of one text. Throws Error where it is not valid UTF-8.
  void add(std::string_view text, TextSide side = TextSide::target);

  /// A tokeniser of the tokens counted at least `min_count` times, both sides together, the most frequent
  /// first and equally frequent ones in the order of their bytes. Throws Error where `min_count` is below 1
  /// or no token is that frequent.
  Tokenizer build(int64_t min_count) const;

  /// The share of a side's tokens that a cut-off makes unknown: those counted fewer than `min_count` times on
  /// both sides together. Tokens that no vocabulary holds are left out. 0 where there are no tokens.
  double rare_share(int64_t min_count, TextSide side = TextSide::target) const;

  /// The share of a side's tokens that no vocabulary holds: words spelt like a special token, and words and
  /// marks that hold the joiner's own sign. They are kUnknown with every cut-off.
  double excluded_share(TextSide side = TextSide::target) const;

  /// The largest of 1..`most` whose rare_share() is at most `share` on each side.
  int64_t largest_min_count(int64_t most, double share) const;

 private:
  using SideCounts = std::array<int64_t, 2>;  // by TextSide

  TokenizerKind kind_;
  TokenMap<SideCounts> counts_;
  SideCounts all_{};  // tokens counted, those that no vocabulary holds among them
};

}  // namespace haze

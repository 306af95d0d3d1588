#include "haze/tools/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>

#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"
#include "haze/tools/text/choice.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr std::array<Choice<TokenizerKind>, 3> kKinds{
    {{"word", TokenizerKind::word},
     {"character", TokenizerKind::character},
     {"word-punctuation", TokenizerKind::word_punctuation}}};
constexpr std::array<Choice<TokenizerKind>, 3> kUnits{{{"word", TokenizerKind::word},
                                                       {"character", TokenizerKind::character},
                                                       {"word or mark", TokenizerKind::word_punctuation}}};
constexpr std::array<std::string_view, 3> kSpecialTokens{"<pad>", "<end>", "<unk>"};
constexpr std::string_view kBlanks = " \t\n\v\f\r";
constexpr int kFileVersion = 1;

bool is_special(std::string_view token) {
  return std::find(kSpecialTokens.begin(), kSpecialTokens.end(), token) != kSpecialTokens.end();
}

template <typename Visit>
void for_each_word(std::string_view text, Visit visit) {
  size_t begin = text.find_first_not_of(kBlanks);
  while (begin != std::string_view::npos) {
    const size_t end = std::min(text.find_first_of(kBlanks, begin), text.size());
    visit(text.substr(begin, end - begin));
    begin = text.find_first_not_of(kBlanks, end);
  }
}

template <typename Visit>
void for_each_character(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const size_t bytes = utf8_code_point_bytes(text);
    visit(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
}

template <typename Visit>
void for_each_piece(TokenizerKind kind, std::string_view text, TextNeighbours neighbours, Visit visit) {
  require_utf8(text, "the text");
  switch (kind) {
    case TokenizerKind::word:
      return for_each_word(text, visit);
    case TokenizerKind::character:
      return for_each_character(text, visit);
    case TokenizerKind::word_punctuation:
      for (const std::string& token : split_word_punctuation(text, neighbours)) visit(token);
  }
}

// Whether a text can hold `token` as exactly one piece; a vocabulary with another entry could never emit it.
bool is_one_piece(TokenizerKind kind, std::string_view token) {
  if (kind == TokenizerKind::word_punctuation) return is_word_punctuation_token(token);
  int pieces = 0;
  bool whole = false;
  for_each_piece(kind, token, {}, [&](std::string_view piece) {
    ++pieces;
    whole = piece.size() == token.size();
  });
  return pieces == 1 && whole;
}

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream || std::filesystem::is_directory(path)) fail("{}: the file cannot be opened", path.string());
  std::string content{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad()) fail("{}: the file cannot be read", path.string());
  return content;
}

nlohmann::json parse_json(std::string_view content, const std::string& source) {
  require_shallow(content, source);
  try {
    return nlohmann::json::parse(content);
  } catch (const nlohmann::json::parse_error& error) {
    const auto end = content.begin() + static_cast<std::ptrdiff_t>(std::min(error.byte, content.size()));
    fail("{}:{}: the file is not valid JSON", source, 1 + std::count(content.begin(), end, '\n'));
  } catch (const nlohmann::json::exception&) {
    fail("{}: the file is not valid JSON", source);
  }
}

// Throws Error, without the file's name, where `json` is not what Tokenizer::save writes.
TokenizerKind check_kind(const nlohmann::json& json) {
  if (!json.is_object()) fail("the file does not hold a JSON object");
  if (!json.contains("version") || json["version"] != kFileVersion) {
    fail("\"version\" must be {}: the file is not a tokeniser of this version of haze", kFileVersion);
  }
  if (!json.contains("kind") || !json["kind"].is_string()) fail("\"kind\" must be a string");
  return choose("\"kind\"", json["kind"].get<std::string>(), kKinds);
}

// Throws Error, without the file's name, where the tokens are not a vocabulary of `kind`.
std::vector<std::string> check_tokens(const nlohmann::json& json, TokenizerKind kind) {
  if (!json.contains("tokens") || !json["tokens"].is_array()) fail("\"tokens\" must be an array of strings");
  std::vector<std::string> tokens;
  TokenMap<size_t> seen;
  for (const auto& entry : json["tokens"]) {
    const size_t id = tokens.size();
    if (!entry.is_string()) fail("token {} is not a string", id);
    const auto token = entry.get<std::string>();
    if (id < kSpecialTokens.size()) {
      if (token != kSpecialTokens[id])
        fail("token {} must be \"{}\", not \"{}\"", id, kSpecialTokens[id], excerpt(token));
    } else if (!is_one_piece(kind, token) || is_special(token)) {
      fail("token {}, \"{}\", is not one {}", id, excerpt(token), choice_name(kind, kUnits));
    }
    const auto [first, is_new] = seen.emplace(token, id);
    if (!is_new) fail("tokens {} and {} are both \"{}\"", first->second, id, excerpt(token));
    tokens.push_back(token);
  }
  if (tokens.size() <= kSpecialTokens.size()) fail("\"tokens\" must hold more than the three special tokens");
  return tokens;
}

}  // namespace

TokenizerKind tokenizer_kind(std::string_view name) {
  return choose("the tokeniser", name, kKinds);
}

Tokenizer::Tokenizer(TokenizerKind kind, std::vector<std::string> tokens)
    : kind_(kind), tokens_(std::move(tokens)) {
  ids_.reserve(tokens_.size());
  for (size_t id = kSpecialTokens.size(); id < tokens_.size(); ++id) {
    ids_.emplace(tokens_[id], static_cast<int32_t>(id));
  }
}

std::string Tokenizer::kind() const {
  return std::string(choice_name(kind_, kKinds));
}

std::string_view Tokenizer::unit() const {
  return choice_name(kind_, kUnits);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, TextNeighbours neighbours) const {
  std::vector<int32_t> ids;
  for_each_piece(kind_, text, neighbours, [&](std::string_view piece) {
    const auto found = ids_.find(piece);
    ids.push_back(found == ids_.end() ? kUnknown : found->second);
  });
  return ids;
}

std::vector<std::string> Tokenizer::split(std::string_view text, TextNeighbours neighbours) const {
  std::vector<std::string> tokens;
  for_each_piece(kind_, text, neighbours, [&](std::string_view piece) { tokens.emplace_back(piece); });
  return tokens;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  if (kind_ == TokenizerKind::word_punctuation) {
    std::vector<std::string_view> tokens;
    for (const int32_t id : ids) tokens.push_back(token(id));
    return join_word_punctuation(tokens);
  }
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 && kind_ == TokenizerKind::word) text += ' ';
    text += token(ids[i]);
  }
  return text;
}

std::string_view Tokenizer::token(int32_t id) const {
  if (id == mask_id()) return kMaskSign;
  if (id < 0 || id > mask_id()) {
    fail("token id {} is outside the vocabulary of {} tokens and the mask", id, vocabulary_size());
  }
  return tokens_[static_cast<size_t>(id)];
}

std::string_view Tokenizer::shown(int32_t id) const {
  return kind_ == TokenizerKind::word_punctuation ? without_joiners(token(id)) : token(id);
}

std::string Tokenizer::to_json() const {
  const nlohmann::ordered_json json{{"version", kFileVersion}, {"kind", kind()}, {"tokens", tokens_}};
  return json.dump(1) + '\n';
}

void Tokenizer::save(const std::filesystem::path& path) const {
  std::ofstream stream(path, std::ios::binary);
  stream << to_json();
  stream.close();
  if (!stream) fail("{}: the tokeniser cannot be written there", path.string());
}

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  return from_json(read_whole(path), path.string());
}

Tokenizer Tokenizer::from_json(std::string_view text, const std::string& source) {
  const nlohmann::json json = parse_json(text, source);
  try {
    const TokenizerKind kind = check_kind(json);
    return Tokenizer(kind, check_tokens(json, kind));
  } catch (const Error& error) {
    fail("{}: {}", source, error.what());
  }
}

void TokenCounter::add(std::string_view text) {
  for_each_piece(kind_, text, {}, [&](std::string_view piece) {
    ++all_;
    const auto found = counts_.find(piece);
    if (found != counts_.end()) {
      ++found->second;
    } else if (is_one_piece(kind_, piece) && !is_special(piece)) {
      counts_.emplace(piece, 1);
    }
  });
}

Tokenizer TokenCounter::build(int64_t min_count) const {
  if (min_count < 1) fail("min_count must be at least 1, but is {}", min_count);
  std::vector<std::pair<int64_t, std::string_view>> frequent;
  for (const auto& [token, count] : counts_) {
    if (count >= min_count) frequent.emplace_back(-count, token);
  }
  const std::string_view unit = choice_name(kind_, kUnits);
  if (counts_.empty()) fail("the training text holds no {}", unit);
  if (frequent.empty()) {
    fail(
        "no {} occurs {} times or more in the training text; lower min_count: --set data.min_count=1 keeps "
        "every {}",
        unit, min_count, unit);
  }
  std::sort(frequent.begin(), frequent.end());

  std::vector<std::string> tokens(kSpecialTokens.begin(), kSpecialTokens.end());
  for (const auto& [negative_count, token] : frequent) tokens.emplace_back(token);
  return Tokenizer(kind_, std::move(tokens));
}

int64_t TokenCounter::largest_min_count(int64_t most, double unknown_share) const {
  std::vector<int64_t> tokens_of_count(static_cast<size_t>(most));
  for (const auto& [token, count] : counts_) {
    if (count < most) tokens_of_count[static_cast<size_t>(count)] += count;
  }
  int64_t min_count = 1, unknown = 0;
  while (min_count < most) {
    unknown += tokens_of_count[static_cast<size_t>(min_count)];
    if (static_cast<double>(unknown) > unknown_share * static_cast<double>(all_)) break;
    ++min_count;
  }
  return min_count;
}

}  // namespace haze

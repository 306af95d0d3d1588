#include "haze/tools/corpus/spelling.h"

#include <algorithm>
#include <array>
#include <utility>

#include "haze/engine/error.h"

namespace haze {
namespace {

char small_letter(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::string small_letters(std::string_view word) {
  std::string result(word);
  std::transform(result.begin(), result.end(), result.begin(), small_letter);
  return result;
}

template <std::size_t size>
bool contains(const std::array<std::string_view, size>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

constexpr std::array<std::string_view, 8> kAuxiliaries = {"is",   "are",  "be", "can",
                                                          "will", "does", "do", "should"};
constexpr std::array<std::string_view, 5> kSubordinators = {"if", "although", "though", "while", "whether"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 28> kUniversal = {{
    {"CC", "CCONJ"}, {"CD", "NUM"},   {"DT", "DET"},    {"EX", "PRON"},  {"IN", "ADP"},   {"JJ", "ADJ"},
    {"JJR", "ADJ"},  {"JJS", "ADJ"},  {"MD", "AUX"},    {"NN", "NOUN"},  {"NNS", "NOUN"}, {"NNP", "PROPN"},
    {"POS", "PART"}, {"PRP", "PRON"}, {"PRP$", "PRON"}, {"RB", "ADV"},   {"RP", "ADP"},   {"TO", "PART"},
    {"VB", "VERB"},  {"VBD", "VERB"}, {"VBG", "VERB"},  {"VBN", "VERB"}, {"VBP", "VERB"}, {"VBZ", "VERB"},
    {"WDT", "PRON"}, {"$", "SYM"},    {",", "PUNCT"},   {".", "PUNCT"},
}};

}  // namespace

bool takes_an(std::string_view next_word) {
  const std::string word = small_letters(next_word);
  for (const std::string_view consonant_sound : {"uni", "eu", "one"}) {
    if (word.starts_with(consonant_sound)) return false;
  }
  for (const std::string_view silent_h : {"hour", "honest"}) {
    if (word.starts_with(silent_h)) return true;
  }
  return !word.empty() && std::string_view("aeiou8").find(word.front()) != std::string_view::npos;
}

std::string with_capital(std::string_view word) {
  std::string result(word);
  if (!result.empty() && result[0] >= 'a' && result[0] <= 'z') {
    result[0] = static_cast<char>(result[0] - 'a' + 'A');
  }
  return result;
}

std::vector<std::string> written_words(std::vector<std::string> words) {
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] == "a" && takes_an(words[i + 1])) words[i] = "an";
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == 0 || words[i - 1] == ".") words[i] = with_capital(words[i]);
  }
  return words;
}

std::string spelling_class(std::string_view word) {
  std::string result = small_letters(word);
  return result == "an" ? "a" : result;
}

std::string universal_tag(std::string_view word, std::string_view penn_tag) {
  const std::string small = small_letters(word);
  if (penn_tag.starts_with("VB") && contains(kAuxiliaries, small)) return "AUX";
  if (penn_tag == "IN" && contains(kSubordinators, small)) return "SCONJ";
  if (penn_tag == "RB" && small == "not") return "PART";
  for (const auto& [penn, universal] : kUniversal) {
    if (penn == penn_tag) return std::string(universal);
  }
  fail("the word \"{}\" has the tag \"{}\", which is not a Penn Treebank tag known here", word, penn_tag);
}

bool is_penn_tag(std::string_view tag) {
  return std::any_of(kUniversal.begin(), kUniversal.end(), [&](const auto& row) { return row.first == tag; });
}

}  // namespace haze

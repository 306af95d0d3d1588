#include "haze/tools/text/conllu.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <string_view>

#include <fmt/ranges.h>

#include "haze/engine/error.h"
#include "haze/nn/settings.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr size_t kColumns = 10, kId = 0, kForm = 1, kTag = 3;
// universaldependencies.org/u/pos
const std::vector<std::string> kUniversalTags = {"ADJ",   "ADP",   "ADV", "AUX",  "CCONJ", "DET",
                                                 "INTJ",  "NOUN",  "NUM", "PART", "PRON",  "PROPN",
                                                 "PUNCT", "SCONJ", "SYM", "VERB", "X"};

std::vector<std::string_view> columns_of(std::string_view line) {
  std::vector<std::string_view> columns;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find('\t', begin), line.size());
    columns.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return columns;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Whether the line is a range, such as 3-4, or an empty node, such as 3.1.
bool is_no_word(std::string_view id) {
  const size_t mark = id.find_first_of("-.");
  return mark != std::string_view::npos && is_number(id.substr(0, mark)) && is_number(id.substr(mark + 1));
}

std::string word_of(std::string_view form) {
  std::string word(form);
  std::replace_if(
      word.begin(), word.end(),
      [](char c) { return std::string_view(" \v\f\r").find(c) != std::string::npos; }, '_');
  return word;
}

const std::string& universal_tag(std::string_view name) {
  const auto found = std::find(kUniversalTags.begin(), kUniversalTags.end(), name);
  if (found == kUniversalTags.end())
    fail("column 4, '{}', is not one of the universal parts of speech: {}", excerpt(name),
         fmt::join(kUniversalTags, ", "));
  return *found;
}

void add_line(std::string_view line, TaggedSentence& sentence) {
  require_utf8(line, "the line");
  const std::vector<std::string_view> columns = columns_of(line);
  if (columns.size() != kColumns)
    fail("a word has {} columns with tabs between, and this line has {}", kColumns, columns.size());
  if (is_no_word(columns[kId])) return;
  const std::string wanted = std::to_string(sentence.words.size() + 1);
  if (columns[kId] != wanted)
    fail("the words of a sentence are counted from 1: column 1 must be {}, not '{}'", wanted,
         excerpt(columns[kId]));
  if (columns[kForm].empty()) fail("column 2, the word, is empty");
  sentence.words.push_back(word_of(columns[kForm]));
  sentence.tags.push_back(universal_tag(columns[kTag]));
}

}  // namespace

std::vector<TaggedSentence> read_conllu(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) fail("{}: the file cannot be opened", path.string());
  std::vector<TaggedSentence> sentences;
  TaggedSentence sentence;
  const auto finish = [&] {
    if (!sentence.words.empty()) sentences.push_back(std::move(sentence));
    sentence = {};
  };
  int64_t number = 0;
  for (std::string text; std::getline(file, text);) {
    ++number;
    std::string_view line = text;
    if (number == 1) line = without_byte_order_mark(line);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) {
      finish();
    } else if (!line.starts_with('#')) {
      try {
        add_line(line, sentence);
      } catch (const Error& error) {
        fail("{}:{}: {}", path.string(), number, error.what());
      }
    }
  }
  if (file.bad()) fail("{}: the file cannot be read", path.string());
  finish();
  if (sentences.empty()) fail("{}: there is no sentence in it", path.string());
  return sentences;
}

}  // namespace haze

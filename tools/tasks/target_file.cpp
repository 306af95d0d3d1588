#include "haze/tools/tasks/target_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"

namespace haze {
namespace {

using nlohmann::json;

std::vector<std::string> strings_of(const json& list, const char* what) {
  const auto is_text = [](const json& one) { return one.is_string(); };
  if (!list.is_array() || list.empty() || !std::all_of(list.begin(), list.end(), is_text))
    fail("{} is no list of words", what);
  return list.get<std::vector<std::string>>();
}

bool is_word(const std::string& word) {
  return word != "START" && word != "END" && !trim(word).empty();
}

Field field_of(const json& list) {
  const std::vector<std::string> words = strings_of(list, "the line");
  const auto colon = std::find(words.begin(), words.end(), ":");
  if (colon == words.begin() || colon == words.end() || colon + 1 == words.end())
    fail("there is no field and value with \":\" between");
  return {fmt::format("{}", fmt::join(words.begin(), colon, " ")),
          fmt::format("{}", fmt::join(colon + 1, words.end(), " "))};
}

AnnotatedText text_of(const json& line) {
  const std::vector<std::string> words = strings_of(line.value("words_", json()), "\"words_\"");
  std::vector<std::string> tags;
  if (line.contains("pos")) tags = strings_of(line["pos"], "\"pos\"");
  if (!tags.empty() && tags.size() != words.size())
    fail("there are {} tags for {} words", tags.size(), words.size());
  AnnotatedText text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (!is_word(words[i])) continue;
    text.words.push_back(words[i]);
    if (!tags.empty()) text.tags.push_back(tags[i]);
  }
  return text;
}

AnnotatedText parsed(const std::string& line) {
  require_shallow(line, "the line");
  const json value = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (value.is_array()) return {.fields = {field_of(value)}};
  if (!value.is_object()) fail("it is neither a list nor an object of JSON");
  return text_of(value);
}

}  // namespace

std::vector<AnnotatedText> read_target_file(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) fail("{}: it is a folder, not a file", path.string());
  std::ifstream file(path);
  if (!file) fail("{}: the file cannot be opened: {}", path.string(), std::strerror(errno));
  std::vector<AnnotatedText> texts;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (trim(line).empty()) continue;
    try {
      texts.push_back(parsed(line));
    } catch (const Error& error) {
      fail("{}:{}: {}", path.string(), number, error.what());
    }
  }
  if (texts.empty()) fail("{}: the file has no targets", path.string());
  return texts;
}

}  // namespace haze

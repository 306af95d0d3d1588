#include "haze/tools/text/text_format.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/tools/text/blanks.h"
#include "haze/tools/text/choice.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr std::array<Choice<TextFormat>, 4> kFormats{{{"e2e", TextFormat::e2e},
                                                      {"lines", TextFormat::lines},
                                                      {"jsonl", TextFormat::jsonl},
                                                      {"raw", TextFormat::raw}}};

/// How a sentence ends on a line that may be one of another format.
std::string said_to_be(std::string_view format) {
  return fmt::format("data.format says to read the line as \"{}\"", format);
}

Record parse_lines(std::string_view line) {
  if (trim(line).empty()) fail("the line is blank");
  return {.source = {}, .target = std::string(line), .fields = {}};
}

std::string string_field(const nlohmann::json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) fail("the field \"{}\" is missing", name);
  if (!found->is_string())
    fail("the field \"{}\" must be a string, but is of type {}", name, found->type_name());
  return found->get<std::string>();
}

nlohmann::json parse_json(std::string_view line) {
  try {
    return nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& error) {
    fail("the line is not valid JSON: it goes wrong at byte {}; {}", error.byte, said_to_be("jsonl"));
  } catch (const nlohmann::json::exception&) {
    fail("the line is not valid JSON: a number in it is too large");
  }
}

Record parse_jsonl(std::string_view line) {
  const nlohmann::json object = parse_json(line);
  if (!object.is_object())
    fail("the line must be a JSON object, but is of type {}; {}", object.type_name(), said_to_be("jsonl"));
  const bool is_text = object.contains("text") && !object.contains("trg");
  if (!is_text && !object.contains("src") && !object.contains("trg"))
    fail("the line has neither the field \"text\" nor \"src\" and \"trg\"");
  const char* const target = is_text ? "text" : "trg";
  Record record{.source = is_text ? std::string() : string_field(object, "src"),
                .target = string_field(object, target),
                .fields = {}};
  if (trim(record.target).empty()) fail("the field \"{}\" is blank", target);
  return record;
}

/// Empty where the file cannot be read.
std::string first_mebibyte(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return "";
  std::ifstream file(path, std::ios::binary);
  std::string text(1 << 20, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

Field parse_field(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    fail("the field \"{}\" has no ':' between name and value", excerpt(trim(text)));
  const auto name = trim(text.substr(0, colon));
  const auto value = trim(text.substr(colon + 1));
  if (name.empty()) fail("the field \"{}\" has no name before its ':'", excerpt(trim(text)));
  if (value.empty()) fail("the field \"{}\" has no value after its ':'", excerpt(name));
  return {std::string(name), std::string(value)};
}

Record parse_e2e(std::string_view line) {
  const size_t bars = line.find("||");
  if (bars == std::string_view::npos)
    fail("there is no \"||\" between the field values and the text; {}; plain lines are data.format=lines",
         said_to_be("e2e"));
  const auto source = trim(line.substr(0, bars));
  const auto target = trim(line.substr(bars + 2));
  if (target.empty()) fail("there is no text after \"||\"");
  Record record{.source = std::string(source), .target = std::string(target), .fields = {}};
  for (size_t begin = 0; !source.empty() && begin <= source.size();) {
    const size_t end = std::min(source.find('|', begin), source.size());
    record.fields.push_back(parse_field(source.substr(begin, end - begin)));
    begin = end + 1;
  }
  return record;
}

}  // namespace

TextFormat text_format(std::string_view name) {
  return choose("data.format", name, kFormats);
}

std::vector<std::string> format_names() {
  return choice_names(kFormats);
}

std::vector<std::string> line_format_names() {
  std::vector<std::string> names = format_names();
  std::erase(names, format_name(TextFormat::raw));
  return names;
}

std::string_view format_name(TextFormat format) {
  return choice_name(format, kFormats);
}

TextFormat guess_format(const std::vector<std::string>& beginning) {
  if (beginning.empty()) return TextFormat::e2e;
  const auto half_is = [&](auto looks) {
    const auto count = std::count_if(beginning.begin(), beginning.end(), looks);
    return count > 0 && 2 * count >= std::ssize(beginning);
  };
  // Not parse_record(): a mistake in a line is to be said, not to make it another format.
  if (half_is(
          [](const std::string& line) { return trim(line).starts_with('{') && trim(line).ends_with('}'); }))
    return TextFormat::jsonl;
  const auto is_e2e = [](std::string_view line) {
    const size_t bars = line.find("||");
    return bars != std::string_view::npos && line.substr(0, bars).find(':') != std::string_view::npos;
  };
  return half_is(is_e2e) ? TextFormat::e2e : TextFormat::lines;
}

bool looks_like_table(const std::vector<std::string>& beginning) {
  if (beginning.size() < 3) return false;
  for (const char separator : {',', ';', '\t'}) {
    const auto columns = [&](const std::string& line) {
      return std::count(line.begin(), line.end(), separator);
    };
    const auto first = columns(beginning.front());
    const auto has_as_many = [&](const std::string& line) { return columns(line) == first; };
    if (first > 0 && std::all_of(beginning.begin(), beginning.end(), has_as_many)) return true;
  }
  return false;
}

std::vector<std::string> beginning_of(const std::filesystem::path& path, size_t most) {
  std::vector<std::string> lines;
  std::istringstream stream(first_mebibyte(path));
  for (std::string line; lines.size() < most && std::getline(stream, line);) {
    if (!trim(line).empty()) lines.push_back(line);
  }
  return lines;
}

bool may_be_one_text(const std::filesystem::path& path) {
  constexpr int64_t kManyLines = 1000;
  std::istringstream stream(first_mebibyte(path));
  int64_t lines = 0;
  bool was_blank = false;
  for (std::string line; std::getline(stream, line);) {
    const bool is_blank = trim(line).empty();
    if (lines > 0 && was_blank && !is_blank) return true;
    was_blank = is_blank;
    if (!is_blank && ++lines >= kManyLines) return true;
  }
  return false;
}

Record parse_record(TextFormat format, std::string_view line) {
  require_utf8(line, format == TextFormat::raw ? "the text" : "the line");
  switch (format) {
    case TextFormat::lines:
      return parse_lines(line);
    case TextFormat::jsonl:
      return parse_jsonl(line);
    case TextFormat::e2e:
      return parse_e2e(line);
    case TextFormat::raw:
      return {.source = {}, .target = std::string(line), .fields = {}};
  }
  fail("the text format has no reader");
}

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  for_each_word(text, [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

}  // namespace haze

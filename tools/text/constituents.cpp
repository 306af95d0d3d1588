#include "haze/tools/text/constituents.h"

#include <algorithm>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr std::string_view kRoot = "ROOT";

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

// Brackets are symbols of their own, and so is all between brackets and blanks.
std::vector<std::string_view> symbols_of(std::string_view text) {
  std::vector<std::string_view> symbols;
  const auto ends_symbol = [](char c) { return is_blank(c) || c == '(' || c == ')'; };
  for (size_t i = 0; i < text.size();) {
    if (is_blank(text[i])) {
      ++i;
      continue;
    }
    size_t end = i + 1;
    if (text[i] != '(' && text[i] != ')') {
      while (end < text.size() && !ends_symbol(text[end])) ++end;
    }
    symbols.push_back(text.substr(i, end - i));
    i = end;
  }
  return symbols;
}

// Reads symbols from left to right; open brackets are on a stack.
class BracketReader {
 public:
  BracketReader(std::string_view text, const std::vector<std::string>& labels)
      : text_(text), labels_(labels) {}

  BracketedText read() {
    const std::vector<std::string_view> symbols = symbols_of(text_);
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (symbols[i] == ")") {
        close();
      } else if (symbols[i] != "(") {
        if (open_.empty()) fail("the tree {}: '{}' stands outside every bracket", text_, symbols[i]);
        result_.words.emplace_back(symbols[i]);
        tags_.emplace_back();
      } else {
        const bool has_label = i + 1 < symbols.size() && symbols[i + 1] != "(" && symbols[i + 1] != ")";
        if (!has_label) fail("the tree {}: a bracket has no label", text_);
        open(symbols[++i]);
      }
    }
    if (!open_.empty()) fail("the tree {}: {} of its brackets do not close", text_, open_.size());
    if (result_.words.empty()) fail("the tree {}: it has no words", text_);
    return finished();
  }

 private:
  int64_t words() const { return static_cast<int64_t>(result_.words.size()); }

  void open(std::string_view label) {
    open_.push_back(result_.constituents.size());
    result_.constituents.push_back({words(), -1, std::string(label)});
  }

  void close() {
    if (open_.empty()) fail("the tree {}: it closes a bracket that is not open", text_);
    const size_t index = open_.back();
    open_.pop_back();
    Constituent& constituent = result_.constituents[index];
    constituent.end = words();
    if (constituent.end == constituent.begin)
      fail("the tree {}: the bracket of {} holds no word", text_, constituent.label);
    const bool is_innermost = index + 1 == result_.constituents.size();
    const bool is_known = std::find(labels_.begin(), labels_.end(), constituent.label) != labels_.end();
    if (is_innermost && !is_known && constituent.end == constituent.begin + 1) {
      tags_.back() = std::move(constituent.label);
      result_.constituents.pop_back();
    }
  }

  BracketedText finished() {
    std::erase_if(result_.constituents, [](const Constituent& one) { return one.label == kRoot; });
    result_.tags = std::move(tags_);
    return std::move(result_);
  }

  std::string_view text_;
  const std::vector<std::string>& labels_;
  BracketedText result_;
  std::vector<std::string> tags_;
  std::vector<size_t> open_;  // indices of constituents
};

}  // namespace

BracketedText read_brackets(std::string_view text, const std::vector<std::string>& labels) {
  return BracketReader(text, labels).read();
}

std::string written_brackets(const std::vector<Constituent>& constituents, int64_t words) {
  std::string result;
  std::vector<int64_t> ends;  // of open brackets
  const auto add = [&](std::string_view symbol) {
    if (!result.empty()) result += ' ';
    result += symbol;
  };
  auto next = constituents.begin();
  for (int64_t word = 0; word <= words; ++word) {
    while (!ends.empty() && ends.back() == word) {
      add(")");
      ends.pop_back();
    }
    if (word == words) break;
    for (; next != constituents.end() && next->begin == word; ++next) {
      if (next->end <= word || next->end > (ends.empty() ? words : ends.back()))
        fail("the {} of words {} to {} crosses the end of another, or of the text", next->label, next->begin,
             next->end - 1);
      add("(");
      add(next->label);
      ends.push_back(next->end);
    }
    add("*");
  }
  if (next != constituents.end())
    fail("the {} of words {} to {} is out of order", next->label, next->begin, next->end - 1);
  return result;
}

}  // namespace haze

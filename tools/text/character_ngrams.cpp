#include "haze/tools/text/character_ngrams.h"

#include <algorithm>
#include <string>

#include "haze/engine/error.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

constexpr size_t kLongestAffix = 4, kShortestInner = 3, kLongestInner = 4;

bool is_between(char c, char first, char last) {
  return c >= first && c <= last;
}

int32_t bucket_of(char kind, std::string_view feature) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto add = [&](char byte) { hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3; };
  add(kind);
  for (const char byte : feature) add(byte);
  return static_cast<int32_t>(hash % static_cast<uint64_t>(kSpellingBuckets));
}

std::string lower_case(std::string_view word) {
  std::string lower(word);
  for (char& c : lower) {
    if (is_between(c, 'A', 'Z')) c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string shape_of(std::string_view word) {
  std::string shape;
  for (const char c : word) {
    char mark = c;
    if (is_between(c, 'A', 'Z')) mark = 'X';
    if (is_between(c, 'a', 'z') || static_cast<unsigned char>(c) >= 0x80) mark = 'x';
    if (is_between(c, '0', '9')) mark = '0';
    if (shape.empty() || shape.back() != mark) shape += mark;
  }
  return shape;
}

// Where each character of a word begins, and the word's end.
std::vector<size_t> character_offsets(std::string_view word) {
  std::vector<size_t> offsets = {0};
  while (offsets.back() < word.size())
    offsets.push_back(offsets.back() + utf8_code_point_bytes(word.substr(offsets.back())));
  return offsets;
}

}  // namespace

std::vector<int32_t> character_ngrams(std::string_view word) {
  if (word.empty()) fail("character_ngrams: the word is empty");
  require_utf8(word, "the word");
  const std::string lower = lower_case(word);
  const std::vector<size_t> offsets = character_offsets(lower);
  const size_t count = offsets.size() - 1;
  const auto characters = [&](size_t begin, size_t length) {
    return std::string_view(lower).substr(offsets[begin], offsets[begin + length] - offsets[begin]);
  };
  std::vector<int32_t> buckets = {bucket_of('h', shape_of(word))};
  for (size_t length = 1; length <= std::min(kLongestAffix, count); ++length) {
    buckets.push_back(bucket_of('p', characters(0, length)));
    buckets.push_back(bucket_of('s', characters(count - length, length)));
  }
  for (size_t length = kShortestInner; length <= kLongestInner; ++length) {
    for (size_t begin = 0; begin + length <= count; ++begin)
      buckets.push_back(bucket_of('n', characters(begin, length)));
  }
  return buckets;
}

}  // namespace haze

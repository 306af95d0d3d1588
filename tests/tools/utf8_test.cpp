#include "haze/tools/text/utf8.h"

#include <cstdint>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

std::string encode_by_definition(uint32_t code_point) {
  const auto continuation = [&](int shift) {
    return static_cast<char>(0x80 | ((code_point >> shift) & 0x3F));
  };
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  if (code_point < 0x800) return {static_cast<char>(0xC0 | (code_point >> 6)), continuation(0)};
  if (code_point < 0x10000) {
    return {static_cast<char>(0xE0 | (code_point >> 12)), continuation(6), continuation(0)};
  }
  return {static_cast<char>(0xF0 | (code_point >> 18)), continuation(12), continuation(6), continuation(0)};
}

}  // namespace

TEST_CASE("every code point but the surrogates is one UTF-8 code point, and no prefix of it is") {
  size_t wrong = 0;
  for (uint32_t code_point = 0; code_point < 0x120000; ++code_point) {
    const std::string bytes = encode_by_definition(code_point);
    const bool is_valid = code_point <= 0x10FFFF && (code_point < 0xD800 || code_point > 0xDFFF);
    wrong += utf8_code_point_bytes(bytes) != (is_valid ? bytes.size() : 0);
    wrong += utf8_code_point_bytes(bytes + "x") != (is_valid ? bytes.size() : 0);
    wrong += utf8_code_point_bytes(std::string_view(bytes).substr(0, bytes.size() - 1)) != 0;
  }
  CHECK(wrong == 0);
}

TEST_CASE("of all strings of three bytes, as many are valid UTF-8 as counting predicts") {
  int64_t valid = 0;
  std::string bytes(3, '\0');
  for (uint32_t value = 0; value < 1u << 24; ++value) {
    bytes = {static_cast<char>(value >> 16), static_cast<char>(value >> 8), static_cast<char>(value)};
    valid += !first_invalid_utf8(bytes);
  }
  const int64_t one = 0x80, two = 0x800 - 0x80, three = 0x10000 - 0x800 - 0x800;
  CHECK(valid == one * one * one + 2 * one * two + three);
}

TEST_CASE("the first byte that is not UTF-8 is found and named") {
  CHECK(first_invalid_utf8("") == std::nullopt);
  CHECK(first_invalid_utf8("안녕 Café 🙂") == std::nullopt);
  CHECK(first_invalid_utf8("ab\xFF") == 2);
  CHECK(first_invalid_utf8("안\xEB\x85") == 3);
  CHECK(first_invalid_utf8("\xC0\x80") == 0);
  CHECK_THROWS_WITH_AS(require_utf8("ab\xFF", "the prompt"), "byte 3 of the prompt (0xFF) is not valid UTF-8",
                       Error);
}

TEST_CASE("a byte order mark is taken from the beginning alone, and only where all of it is there") {
  CHECK(without_byte_order_mark("\xEF\xBB\xBF"
                                "ab") == "ab");
  CHECK(without_byte_order_mark("\xEF\xBB\xBF\xEF\xBB\xBF") == "\xEF\xBB\xBF");
  CHECK(without_byte_order_mark("\xEF\xBB\x80") == "\xEF\xBB\x80");
  CHECK(without_byte_order_mark("a\xEF\xBB\xBF") == "a\xEF\xBB\xBF");
  CHECK(without_byte_order_mark("").empty());
}

TEST_CASE("an excerpt never cuts a code point in two") {
  CHECK(excerpt("안녕", 6) == "안녕");
  CHECK(excerpt("안녕", 5) == "안...");
  CHECK(excerpt("abcdef", 4) == "abcd...");
  CHECK(excerpt("안녕", 2) == "...");
}

}  // namespace haze

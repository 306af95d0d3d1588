#include "haze/nn/nesting.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "nn/temporary_folder.h"

using haze::kMostNesting;
using haze::require_shallow;
using haze::nn_test::error_of;

namespace {

std::string repeated(const std::string& part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

bool is_taken(const std::string& text) {
  const std::string error = error_of([&] { require_shallow(text, "file"); });
  CHECK((error.empty() || error.ends_with("this is nested more than 64 deep")));
  return error.empty();
}

}  // namespace

TEST_CASE("brackets and parts of keys may nest 64 deep, and no deeper") {
  static_assert(kMostNesting == 64);
  for (const char* bracket : {"[", "{", "[{"}) {
    const int count = kMostNesting / static_cast<int>(std::string(bracket).size());
    CHECK(is_taken(repeated(bracket, count)));
    CHECK_FALSE(is_taken(repeated(bracket, count + 1)));
  }
  CHECK(is_taken(repeated("a.", 63) + "b = 1"));
  CHECK_FALSE(is_taken(repeated("a.", 64) + "b = 1"));
  CHECK_FALSE(is_taken("[" + repeated("a . ", 64) + "b]"));
  CHECK(is_taken(repeated("[1.5, 2.5], ", 1000)));
  CHECK(is_taken(repeated("1.5\n", 1000)));
  CHECK(error_of([] { require_shallow("x = 1\n\n" + repeated("[", 65), "file"); }) ==
        "file:3: this is nested more than 64 deep");
}

TEST_CASE("what stands in strings and comments does not nest, and what stands behind them does") {
  const std::string deep = repeated("[", 100);
  for (const std::string& hidden : std::vector<std::string>{
           "\"" + deep + "\"", "\"\\\"" + deep + "\"", "'" + deep + "'", "\"\"\"\n\"\"" + deep + "\n\"\"\"",
           "'''\n'" + deep + "\n'''", "# \"" + deep + "\n", "\"\\\\\"", "\"\"", "''"}) {
    CAPTURE(hidden);
    CHECK(is_taken(hidden));
    CHECK_FALSE(is_taken(hidden + deep));
  }
  CHECK(is_taken("\"" + deep));
  CHECK(is_taken(""));
}

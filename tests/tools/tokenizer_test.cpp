#include "haze/tools/text/tokenizer.h"

#include <algorithm>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

#include "tools/text_test_files.h"

namespace haze {
namespace {

using text_test::TestFolder;

Tokenizer tokenizer_of(TokenizerKind kind, std::initializer_list<std::string_view> texts,
                       int64_t min_count = 1) {
  TokenCounter counter(kind);
  for (const auto text : texts) counter.add(text);
  return counter.build(min_count);
}

std::vector<std::string> tokens_of(const Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) tokens.emplace_back(tokenizer.token(id));
  return tokens;
}

}  // namespace

TEST_CASE("word tokens are ordered by falling count, then by bytes, after the special ones") {
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {"b a é c a", "c b a Z é"});
  CHECK(tokens_of(tokenizer) == std::vector<std::string>{"<pad>", "<end>", "<unk>", "a", "b", "c", "é", "Z"});
  CHECK(tokenizer.kind() == "word");
  CHECK(tokenizer.vocabulary_size() == 8);
}

TEST_CASE("tokens counted exactly min_count times are kept and rarer ones are unknown") {
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {"the pub is the pub", "the bar is"}, 2);
  CHECK(tokens_of(tokenizer) == std::vector<std::string>{"<pad>", "<end>", "<unk>", "the", "is", "pub"});
  CHECK(tokenizer.encode("the bar is a pub") == std::vector<int32_t>{3, 2, 4, 2, 5});
}

TEST_CASE("words are separated by any run of blanks, and decoding joins them by one") {
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {"a b c"});
  const auto ids = tokenizer.encode(" \t a  b\r\nc\f\v ");
  CHECK(ids == std::vector<int32_t>{3, 4, 5});
  CHECK(tokenizer.decode(ids) == "a b c");
  CHECK(tokenizer.encode("  ").empty());
  CHECK(tokenizer.decode({}) == "");
}

TEST_CASE("a text of known words survives encoding and decoding") {
  const std::string text = "Café Sicilia 는 강변 에 있는 식당 이다 . 🙂";
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {text});
  CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
}

TEST_CASE("character tokens are code points, so Korean text survives encoding and decoding") {
  const std::string text = "안녕하세요, 세계!  naïve 🙂\t끝";
  const auto tokenizer = tokenizer_of(TokenizerKind::character, {text});
  const auto ids = tokenizer.encode(text);
  CHECK(ids.size() == 21);
  CHECK(tokenizer.decode(ids) == text);
  CHECK(tokenizer.kind() == "character");
}

TEST_CASE("character tokens obey min_count") {
  const auto tokenizer = tokenizer_of(TokenizerKind::character, {"가나가다", "나가"}, 2);
  CHECK(tokens_of(tokenizer) == std::vector<std::string>{"<pad>", "<end>", "<unk>", "가", "나"});
  CHECK(tokenizer.decode(tokenizer.encode("가다나")) == "가<unk>나");
}

TEST_CASE("special tokens and masks are shown and do not end the text") {
  const auto word = tokenizer_of(TokenizerKind::word, {"a"});
  CHECK(word.decode(std::vector<int32_t>{3, 1, 0, 2, 4, 3}) == "a <end> <pad> <unk> ░ a");
  const auto character = tokenizer_of(TokenizerKind::character, {"a"});
  CHECK(character.decode(std::vector<int32_t>{3, 1, 0, 2, 4, 3}) == "a<end><pad><unk>░a");
}

TEST_CASE("the spellings of special tokens in a text are unknown words") {
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {"a <end> <unk> <pad> <pad>"});
  CHECK(tokenizer.vocabulary_size() == 4);
  CHECK(tokenizer.encode("<pad> a <end> <unk>") == std::vector<int32_t>{2, 3, 2, 2});
  // Other kinds know their parts, and no part is a special token.
  for (const auto kind : {TokenizerKind::character, TokenizerKind::word_punctuation}) {
    const auto other = tokenizer_of(kind, {"a <end> b"});
    const std::vector<int32_t> ids = other.encode("a <end> b");
    CHECK(*std::min_element(ids.begin(), ids.end()) > Tokenizer::kUnknown);
    CHECK(other.decode(ids) == "a <end> b");
  }
}

TEST_CASE("ids outside the vocabulary are refused") {
  const auto tokenizer = tokenizer_of(TokenizerKind::word, {"a"});
  CHECK_THROWS_WITH_AS(tokenizer.token(5), "token id 5 is outside the vocabulary of 4 tokens and the mask",
                       Error);
  CHECK_THROWS_WITH_AS(tokenizer.decode(std::vector<int32_t>{3, -1}),
                       "token id -1 is outside the vocabulary of 4 tokens and the mask", Error);
}

TEST_CASE("what a tokeniser cannot be made of is refused") {
  CHECK_THROWS_WITH_AS(tokenizer_of(TokenizerKind::word, {"a b"}, 2),
                       "no word occurs 2 times or more in the training text; lower min_count: --set "
                       "data.min_count=1 keeps every word",
                       Error);
  CHECK_THROWS_WITH_AS(tokenizer_of(TokenizerKind::character, {}), "the training text holds no character",
                       Error);
  CHECK_THROWS_WITH_AS(tokenizer_of(TokenizerKind::word, {"a"}, 0), "min_count must be at least 1, but is 0",
                       Error);
  CHECK_THROWS_WITH_AS(tokenizer_of(TokenizerKind::word, {"a \xFF"}),
                       "byte 3 of the text (0xFF) is not valid UTF-8", Error);
  CHECK_THROWS_WITH_AS(tokenizer_of(TokenizerKind::character, {"a"}).encode("\xEC"),
                       "byte 1 of the text (0xEC) is not valid UTF-8", Error);
  CHECK_THROWS_WITH_AS(tokenizer_kind("letters"),
                       "the tokeniser is \"letters\", but must be one of \"word\", \"character\", "
                       "\"word-punctuation\"",
                       Error);
}

TEST_CASE("a saved tokeniser loads as it was") {
  const TestFolder folder;
  for (const auto kind : {TokenizerKind::word, TokenizerKind::character, TokenizerKind::word_punctuation}) {
    const std::string text = "quote\" back\\slash 안녕 tab\tend";
    const auto tokenizer = tokenizer_of(kind, {text});
    tokenizer.save(folder.path("tokenizer.json"));
    const auto loaded = Tokenizer::load(folder.path("tokenizer.json"));
    CHECK(loaded.kind() == tokenizer.kind());
    CHECK(tokens_of(loaded) == tokens_of(tokenizer));
    CHECK(loaded.encode(text) == tokenizer.encode(text));
  }
}

TEST_CASE("a tokenizer.json that is not one is refused by a sentence with the file's name") {
  const TestFolder folder;
  const auto error_of = [&](std::string_view content) {
    const auto path = folder.write("tokenizer.json", content);
    return folder.error_of([&] { Tokenizer::load(path); });
  };
  const auto error_of_tokens = [&](std::string_view kind, std::string_view tokens) {
    return error_of(fmt::format(R"({{"version": 1, "kind": "{}", "tokens": ["<pad>", "<end>", "<unk>"{}]}})",
                                kind, tokens));
  };
  CHECK(error_of_tokens("word", R"(, "a")") == "");
  CHECK(error_of("") == "tokenizer.json:1: the file is not valid JSON");
  CHECK(error_of("{\n\"version\": 1,\n,}") == "tokenizer.json:3: the file is not valid JSON");
  CHECK(error_of("{\"a\": \"\xFF\"}") == "tokenizer.json:1: the file is not valid JSON");
  CHECK(error_of("[1e999]") == "tokenizer.json: the file is not valid JSON");
  CHECK(error_of("[]") == "tokenizer.json: the file does not hold a JSON object");
  CHECK(error_of("{}") ==
        "tokenizer.json: \"version\" must be 1: the file is not a tokeniser of this version of haze");
  CHECK(error_of(R"({"version": 1})") == "tokenizer.json: \"kind\" must be a string");
  CHECK(error_of(R"({"version": 1, "kind": "byte"})") ==
        "tokenizer.json: \"kind\" is \"byte\", but must be one of \"word\", \"character\", "
        "\"word-punctuation\"");
  CHECK(error_of(R"({"version": 1, "kind": "word", "tokens": "a"})") ==
        "tokenizer.json: \"tokens\" must be an array of strings");
  CHECK(error_of(R"({"version": 1, "kind": "word", "tokens": ["<end>"]})") ==
        "tokenizer.json: token 0 must be \"<pad>\", not \"<end>\"");
  CHECK(error_of_tokens("word", "") ==
        "tokenizer.json: \"tokens\" must hold more than the three special tokens");
  CHECK(error_of_tokens("word", R"(, 7)") == "tokenizer.json: token 3 is not a string");
  CHECK(error_of_tokens("word", R"(, "a", "b", "a")") == "tokenizer.json: tokens 3 and 5 are both \"a\"");
  CHECK(error_of_tokens("word", R"(, "a b")") == "tokenizer.json: token 3, \"a b\", is not one word");
  CHECK(error_of_tokens("word", R"(, "a ")") == "tokenizer.json: token 3, \"a \", is not one word");
  CHECK(error_of_tokens("word", R"(, "")") == "tokenizer.json: token 3, \"\", is not one word");
  CHECK(error_of_tokens("word", R"(, "<pad>")") == "tokenizer.json: token 3, \"<pad>\", is not one word");
  CHECK(error_of_tokens("character", R"(, "ab")") == "tokenizer.json: token 3, \"ab\", is not one character");
  CHECK(error_of_tokens("word-punctuation", R"(, "a", "￭,", "\"￭", "￭--￭", "\n", "  ")") == "");
  for (const char* token : {"a,", "a b", "￭a", "a￭", "￭", "￭￭", "￭￭￭", ",.", "￭ ", "\\n\\n", ""}) {
    const std::string json = fmt::format(R"(, "{}")", token);
    CAPTURE(json);
    CHECK(error_of_tokens("word-punctuation", json).ends_with("is not one word or mark"));
  }
  CHECK(folder.error_of([&] { Tokenizer::load(folder.path("none.json")); }) ==
        "none.json: the file cannot be opened");
  CHECK(folder.error_of([&] {
    tokenizer_of(TokenizerKind::word, {"a"}).save(folder.path("none/tokenizer.json"));
  }) == "none/tokenizer.json: the tokeniser cannot be written there");
}

TEST_CASE("the largest cut-off is that of a search over all of them") {
  TokenCounter counter(TokenizerKind::word);
  int64_t all = 0;
  std::string text;
  for (int64_t count = 1; count <= 12; ++count) {
    for (int64_t i = 0; i < count; ++i) text += fmt::format("w{} ", count);
    all += count;
  }
  // A literal "<unk>" is unknown with every cut-off: it counts neither as rare nor among all.
  const std::string literal = "<unk> <unk> <pad> <end>";
  counter.add(text + literal);
  CHECK(counter.excluded_share() == doctest::Approx(4.0 / static_cast<double>(all + 4)).epsilon(1e-12));
  for (const double share : {0.0, 0.02, 0.04, 0.1, 0.4, 1.0}) {
    int64_t largest = 1;
    for (int64_t min_count = 1; min_count <= 10; ++min_count) {
      const std::vector<int32_t> ids = counter.build(min_count).encode(text + literal);
      const auto unknown = std::count(ids.begin(), ids.end(), Tokenizer::kUnknown) - 4;
      if (static_cast<double>(unknown) <= share * static_cast<double>(all)) largest = min_count;
    }
    CAPTURE(share);
    CHECK(counter.largest_min_count(10, share) == largest);
  }
  CHECK(counter.largest_min_count(10, 1.0) == 10);
}

TEST_CASE("the cut-off of pairs makes few tokens unknown on each side, not of both together") {
  TokenCounter counter(TokenizerKind::word);
  std::string sources, targets;
  for (int pair = 0; pair < 300; ++pair) {
    const std::string source = fmt::format("s{} s{} s{}", pair % 40, (pair + 1) % 40, (pair + 2) % 40);
    const std::string target = fmt::format("y y y y y y x{}", pair / 4);
    counter.add(source, TextSide::source);
    counter.add(target);
    sources += source + ' ';
    targets += target + ' ';
  }
  // Every x is there 4 times: a seventh of the targets' words, and a tenth of all.
  CHECK(counter.largest_min_count(10, 0.1) == 4);
  for (const int64_t min_count : {1, 4, 5, 10, 23}) {
    const Tokenizer tokenizer = counter.build(min_count);
    const auto unknown_share = [&](const std::string& text) {
      const std::vector<int32_t> ids = tokenizer.encode(text);
      return static_cast<double>(std::count(ids.begin(), ids.end(), Tokenizer::kUnknown)) /
             static_cast<double>(ids.size());
    };
    CAPTURE(min_count);
    CHECK(counter.rare_share(min_count) == doctest::Approx(unknown_share(targets)).epsilon(1e-12));
    CHECK(counter.rare_share(min_count, TextSide::source) ==
          doctest::Approx(unknown_share(sources)).epsilon(1e-12));
  }
  // A word of both sides is as frequent as in both together.
  TokenCounter shared(TokenizerKind::word);
  shared.add("a");
  shared.add("a", TextSide::source);
  CHECK(shared.build(2).vocabulary_size() == 4);
  CHECK(TokenCounter(TokenizerKind::word).rare_share(5) == 0);
}

}  // namespace haze

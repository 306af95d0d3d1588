#include "haze/tools/text/word_punctuation.h"

#include <algorithm>
#include <random>
#include <utility>

#include <doctest/doctest.h>

#include "haze/tools/text/text_file.h"

#include "tools/text_test_files.h"

namespace haze {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& tokens) {
  return join_word_punctuation(std::vector<std::string_view>(tokens.begin(), tokens.end()));
}

std::string round_trip(std::string_view text) {
  return joined(split_word_punctuation(text));
}

}  // namespace

TEST_CASE("words and marks are tokens, and a mark tells on which side no blank stands") {
  CHECK(split_word_punctuation("\"Go, now.\"") == Tokens{"\"￭", "Go", "￭,", "now", "￭.", "￭\""});
  CHECK(split_word_punctuation("Go -- or stay... (here)") ==
        Tokens{"Go", "--", "or", "stay", "￭...", "(￭", "here", "￭)"});
  CHECK(split_word_punctuation("a--b c -d e- f") == Tokens{"a", "￭--￭", "b", "c", "-￭", "d", "e", "￭-", "f"});
  // What E2E's text looks like: no joiner at all.
  CHECK(split_word_punctuation("Aromi , a pub .") == Tokens{"Aromi", ",", "a", "pub", "."});
  CHECK(split_word_punctuation("").empty());
}

TEST_CASE("apostrophes between letters and points between digits are part of a word") {
  CHECK(split_word_punctuation("Don't, o’clock: 3.14 of 1,000.") ==
        Tokens{"Don't", "￭,", "o’clock", "￭:", "3.14", "of", "1,000", "￭."});
  CHECK(split_word_punctuation("'tis the dogs' 5's a.b") ==
        Tokens{"'￭", "tis", "the", "dogs", "￭'", "5", "￭'￭", "s", "a", "￭.￭", "b"});
  CHECK(split_word_punctuation("snake_case C3PO") == Tokens{"snake_case", "C3PO"});
}

TEST_CASE("line ends and other white space are tokens that have no blanks beside them") {
  CHECK(split_word_punctuation("KING:\n\"What?\n\nNo") ==
        Tokens{"KING", "￭:", "\n", "\"￭", "What", "￭?", "\n", "\n", "No"});
  CHECK(split_word_punctuation("a\r\nb\tc  d") == Tokens{"a", "\r\n", "b", "\t", "c", "  ", "d"});
  CHECK(split_word_punctuation(" a \n b ") == Tokens{" ", "a", " ", "\n", " ", "b", " "});
}

TEST_CASE("Korean words are words, and the punctuation of other scripts is punctuation") {
  CHECK(split_word_punctuation("안녕하세요, 세계! 「네」라고") ==
        Tokens{"안녕하세요", "￭,", "세계", "￭!", "「￭", "네", "￭」￭", "라고"});
  CHECK(split_word_punctuation("«Où est-ce ?» naïve") ==
        Tokens{"«￭", "Où", "est", "￭-￭", "ce", "?", "￭»", "naïve"});
  CHECK(split_word_punctuation("好。三、🙂ok") ==
        Tokens{"好", "￭。￭", "三", "￭、", "￭🙂￭", "ok"});
  CHECK(split_word_punctuation("Haze™ בית־ספר") == Tokens{"Haze", "￭™", "בית", "￭־￭", "ספר"});
  CHECK(split_word_punctuation("\u2764\uFE0F a\u2003b") == Tokens{"\u2764", "￭\uFE0F", "a", "￭\u2003￭", "b"});
}

TEST_CASE("a text beside other tokens knows that they are there") {
  CHECK(split_word_punctuation(" . ", {.before = true, .after = true}) == Tokens{"."});
  CHECK(split_word_punctuation(". ", {.before = true, .after = true}) == Tokens{"￭."});
  CHECK(split_word_punctuation("-", {.before = true, .after = true}) == Tokens{"￭-￭"});
  CHECK(split_word_punctuation(" ", {.before = true, .after = true}).empty());
  CHECK(split_word_punctuation("He said, ", {.after = true}) == Tokens{"He", "said", "￭,"});
  CHECK(split_word_punctuation("He said, \"", {.after = true}) == Tokens{"He", "said", "￭,", "\"￭"});
}

TEST_CASE("every text comes back from its tokens, of which each is one by itself") {
  for (const std::string text :
       {"\"It's 'quoted',\" he said--\"twice\"; $5.00 (or 1,000.50%)...", "well-known e.g. U.S.A. O'Neill's",
        " leading and trailing ", "two  blanks,   three . ,a ,b", "line\r\nline\n\n\tindented\n",
        "가나다라... \"마바사\"라고 했다. 3.14는 π다!", "“Curly ‘quotes’” – dash — dash…", "''a''b'' ''",
        "."}) {
    CHECK(round_trip(text) == text);
  }
  const std::string_view pieces[] = {"a",    "B7", "_", "'",    "’",      "\"", ".",  ",", "-",
                                     "...",  " ",  " ", "  ",   "\n",     "\r", "\t", "1", "2",
                                     "안녕", "。", "é", "🙂", "\u3000", "(",  ")"};
  std::mt19937_64 random(5);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (uint64_t i = random() % 14; i > 0; --i) text += pieces[random() % std::size(pieces)];
    const Tokens tokens = split_word_punctuation(text);
    CAPTURE(text);
    CHECK(joined(tokens) == text);
    for (const std::string& token : tokens) CHECK(is_word_punctuation_token(token));
    // A gap between any two tokens: what stands beside it is split as if a word were there.
    const size_t blank = text.find(" a ");
    if (blank == std::string::npos) continue;
    Tokens around = split_word_punctuation(text.substr(0, blank + 1), {.after = true});
    around.push_back("a");
    for (std::string& token : split_word_punctuation(text.substr(blank + 2), {.before = true}))
      around.push_back(std::move(token));
    CHECK(joined(around) == text);
  }
}

TEST_CASE("a character that is the joiner's own makes a token of no vocabulary") {
  for (const std::string text : {"a ￭ b", "a￭b", "￭￭￭,", "￭"}) {
    int others = 0;
    for (const std::string& token : split_word_punctuation(text)) others += !is_word_punctuation_token(token);
    CHECK(others == 1);
  }
}

TEST_CASE("the records of four corpora come back from their ids as often as the chapter says") {
  struct Corpus {
    const char* file;
    TextFormat format;
    int64_t records, exact_words;
  };
  for (const Corpus& corpus : {Corpus{"tiny_shakespeare/input.txt", TextFormat::raw, 1, 0},
                               {"tiny_shakespeare/input.txt", TextFormat::lines, 32777, 32763},
                               {"multi30k/train.en", TextFormat::lines, 29000, 28999},
                               {"e2e/src1_train.txt", TextFormat::e2e, 42061, 42061}}) {
    const auto path = text_test::shared_data(corpus.file);
    if (!path) continue;
    const TextFile file(*path, {.format = corpus.format});
    std::vector<std::string> texts;
    for (int64_t i = 0; i < file.size(); ++i) texts.push_back(file.record(i).target);
    const auto exact = [&](TokenizerKind kind) {
      TokenCounter counter(kind);
      for (const std::string& text : texts) counter.add(text);
      const Tokenizer tokenizer = counter.build(1);
      return std::count_if(texts.begin(), texts.end(), [&](const std::string& text) {
        return tokenizer.decode(tokenizer.encode(text)) == text;
      });
    };
    CAPTURE(corpus.file);
    CHECK(file.size() == corpus.records);
    CHECK(exact(TokenizerKind::word) == corpus.exact_words);
    CHECK(exact(TokenizerKind::word_punctuation) == corpus.records);
  }
}

TEST_CASE("German and the two sides of dialogues come back from their tokens") {
  for (const auto& corpus : {std::pair{"multi30k/train.de", TextFormat::lines},
                             std::pair{"dialogue/train.jsonl", TextFormat::jsonl}}) {
    const auto path = text_test::shared_data(corpus.first);
    if (!path) continue;
    const TextFile file(*path, {.format = corpus.second});
    int64_t exact = 0;
    for (int64_t i = 0; i < file.size(); ++i) {
      const Record record = file.record(i);
      exact += round_trip(record.target) == record.target && round_trip(record.source) == record.source;
    }
    CAPTURE(corpus.first);
    CHECK(exact == file.size());
  }
}

}  // namespace haze

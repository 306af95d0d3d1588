#include "haze/tools/text/text_file.h"

#include <algorithm>
#include <random>
#include <set>

#include <doctest/doctest.h>

#include "haze/tools/text/utf8.h"

#include "temporary_folder.h"
#include "tools/text_test_files.h"

namespace haze {
namespace {

using testing::TemporaryFolder;
using testing::write_text;
using text_test::TestFolder;

// The sentence that opening a file with this content gives; "" where it opens.
std::string open_error(TextFormat format, std::string_view content, int64_t max_line_bytes = 1 << 20) {
  const TestFolder folder;
  const auto path = folder.write("corpus.txt", content);
  return folder.error_of([&] { TextFile(path, {.format = format, .max_line_bytes = max_line_bytes}); });
}

std::vector<std::string> targets_of(const TextFile& file) {
  std::vector<std::string> targets;
  for (int64_t i = 0; i < file.size(); ++i) targets.push_back(file.record(i).target);
  return targets;
}

}  // namespace

TEST_CASE("a file of lines gives one text a line, and tells where each is") {
  const TestFolder folder;
  const TextFile file(folder.write("corpus.txt", "first\n\n  \t\r\n second line \r\n안녕"));
  CHECK(targets_of(file) == std::vector<std::string>{"first", " second line ", "안녕"});
  CHECK(file.record(2).source == "");
  CHECK(file.record(2).fields.empty());
  CHECK(file.location(0) == folder.path("corpus.txt").string() + ":1");
  CHECK(file.location(1) == folder.path("corpus.txt").string() + ":4");
  CHECK(file.location(2) == folder.path("corpus.txt").string() + ":5");
  CHECK(folder.error_of([&] { file.record(3); }) == "corpus.txt has 3 records, so there is no record 3");
  CHECK(folder.error_of([&] { file.location(-1); }) == "corpus.txt has 3 records, so there is no record -1");
}

TEST_CASE("a byte order mark at the beginning of a file is no part of the text") {
  const TestFolder folder;
  CHECK(targets_of(TextFile(folder.write("a.txt",
                                         "\xEF\xBB\xBF"
                                         "first\nsecond\n"))) == std::vector<std::string>{"first", "second"});
  CHECK(targets_of(TextFile(folder.write("b.txt", "\xEF\xBB\xBF\nsecond\n"))) ==
        std::vector<std::string>{"second"});
}

TEST_CASE("a JSONL file gives source and target in any order, other fields ignored") {
  const TestFolder folder;
  const TextFile file(folder.write("pairs.jsonl",
                                   "{\"trg\": \"I \\u2764 \xEC\x95\x88\", \"id\": 3, \"src\": \"\"}\n"
                                   "{\"src\": \"how\", \"trg\": \"so\"}\r\n"),
                      {.format = TextFormat::jsonl});
  REQUIRE(file.size() == 2);
  CHECK(file.record(0).source == "");
  CHECK(file.record(0).target == "I ❤ 안");
  CHECK(file.record(1).source == "how");
  CHECK(file.record(1).target == "so");
}

TEST_CASE("a JSONL file of texts alone is one of texts, and a line may have either") {
  const TestFolder folder;
  const TextFile file(folder.write("texts.jsonl",
                                   "{\"text\": \"Hello .\", \"src\": 3}\n"
                                   "{\"src\": \"q\", \"trg\": \"a\", \"text\": \"x\"}\n"),
                      {.format = TextFormat::jsonl});
  CHECK(targets_of(file) == std::vector<std::string>{"Hello .", "a"});
  CHECK(file.record(0).source == "");
  CHECK(file.record(1).source == "q");
  CHECK(open_error(TextFormat::jsonl, "{\"body\": \"x\"}") ==
        "corpus.txt:1: the line has neither the field \"text\" nor \"src\" and \"trg\"");
  CHECK(open_error(TextFormat::jsonl, "{\"text\": \" \"}") == "corpus.txt:1: the field \"text\" is blank");
  CHECK(open_error(TextFormat::jsonl, "{\"text\": [1]}") ==
        "corpus.txt:1: the field \"text\" must be a string, but is of type array");
}

TEST_CASE("a raw file is one text, every character of which is kept") {
  const TestFolder folder;
  const std::string text = "\n\nFirst line \r\n\tsecond\r\r\n\n\n 안녕 {\"src\": 1} a||b";
  for (const std::string mark : {"", "\xEF\xBB\xBF"}) {
    const TextFile file(folder.write("corpus.txt", mark + text),
                        {.format = TextFormat::raw, .max_line_bytes = 1});
    CHECK(targets_of(file) == std::vector<std::string>{text});
    CHECK(file.is_one_text());
    CHECK(file.location(0) == folder.path("corpus.txt").string() + ":1");
  }
  using enum TextFormat;
  CHECK(open_error(raw, "") == "corpus.txt:1: the file is empty");
  CHECK(open_error(raw, "\xEF\xBB\xBF") == "corpus.txt:1: the file has only blank lines");
  CHECK(open_error(raw, "\n \r\n") == "corpus.txt:1: the file has only blank lines");
  CHECK(open_error(raw, "good\n\n안\xEB\x85 x\n") ==
        "corpus.txt:3: byte 4 of the line (0xEB) is not valid UTF-8");
  CHECK(open_error(raw, "\xFF") == "corpus.txt:1: byte 1 of the line (0xFF) is not valid UTF-8");
  // Longer than what is read at a time.
  const std::string line(70'001, 'x');
  CHECK(targets_of(TextFile(folder.write("long.txt", line + "\n" + line), {.format = raw})).front() ==
        line + "\n" + line);
}

TEST_CASE("of a raw file the last tenth of the characters can be held out") {
  const TestFolder folder;
  const std::string text = "하나\n둘 셋\n넷\n다섯 여섯 일곱\n여덟 ten.\n";
  for (size_t dropped = 0; dropped < 20; ++dropped) {
    std::vector<std::string> characters;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(utf8_code_point_bytes(rest)))
      characters.emplace_back(rest.substr(0, utf8_code_point_bytes(rest)));
    characters.resize(characters.size() - dropped);
    std::string content, kept;
    for (size_t i = 0; i < characters.size(); ++i) {
      content += characters[i];
      if (i < characters.size() * 9 / 10) kept += characters[i];
    }
    const auto path = folder.write("corpus.txt", content);
    const TextFile rest(path, {.format = TextFormat::raw, .part = FilePart::all_but_tenth}),
        tenth(path, {.format = TextFormat::raw, .part = FilePart::tenth});
    CHECK(rest.record(0).target == kept);
    CHECK(rest.record(0).target + tenth.record(0).target == content);
    const auto line = 1 + std::count(kept.begin(), kept.end(), '\n');
    CHECK(tenth.location(0) == fmt::format("{}:{}", path.string(), line));
  }
  CHECK(folder.error_of([&] {
    TextFile(folder.write("a.txt", "안"), {.format = TextFormat::raw, .part = FilePart::tenth});
  }) == "a.txt: of one character none can be held out; name a file to evaluate on (data.valid)");
}

TEST_CASE("tiny Shakespeare has the characters and tokens that nanoGPT counts") {
  const auto path = text_test::shared_data("tiny_shakespeare/input.txt");
  if (!path) return;
  // data/shakespeare_char/prepare.py of nanoGPT: 65 characters, and these three lengths.
  const auto tokens_of = [&](FilePart part) {
    const TextFile file(*path, {.format = TextFormat::raw, .part = part});
    const Tokenizer tokenizer = build_tokenizer(TokenizerKind::character, file, 1);
    if (part != FilePart::tenth) CHECK(tokenizer.vocabulary_size() - Tokenizer::kUnknown - 1 == 65);
    CHECK(tokenizer.decode(tokenizer.encode(file.record(0).target)) == file.record(0).target);
    return std::ssize(tokenizer.encode(file.record(0).target));
  };
  CHECK(tokens_of(FilePart::all) == 1'115'394);
  CHECK(tokens_of(FilePart::all_but_tenth) == 1'003'854);
  CHECK(tokens_of(FilePart::tenth) == 111'540);
}

TEST_CASE("an E2E file gives the fields, their text and the sentence") {
  const TestFolder folder;
  const TextFile file(
      folder.write(
          "e2e.txt",
          "name : Blue Spice | Type : coffee shop | customer rating : 5 out of 5||It is : a | b || c . \n"
          "||No fields .\n"),
      {.format = TextFormat::e2e});
  REQUIRE(file.size() == 2);
  const Record record = file.record(0);
  CHECK(record.source == "name : Blue Spice | Type : coffee shop | customer rating : 5 out of 5");
  CHECK(record.target == "It is : a | b || c .");
  CHECK(record.fields == std::vector<Field>{{"name", "Blue Spice"},
                                            {"Type", "coffee shop"},
                                            {"customer rating", "5 out of 5"}});
  CHECK(file.record(1).target == "No fields .");
  CHECK(file.record(1).fields.empty());
}

TEST_CASE("what is wrong with a file is said in one sentence with file and line number") {
  using enum TextFormat;
  CHECK(open_error(lines, "") == "corpus.txt:1: the file is empty");
  CHECK(open_error(e2e, "\n \r\n\t") == "corpus.txt:1: the file has only blank lines");
  CHECK(open_error(lines, "good\n\n안\xEB\x85 x\n") ==
        "corpus.txt:3: byte 4 of the line (0xEB) is not valid UTF-8");
  CHECK(open_error(lines, "\xFF\xFEh\0i\0") == "corpus.txt:1: byte 1 of the line (0xFF) is not valid UTF-8");

  CHECK(open_error(e2e, "name : A||fine .\nname : A|fine .\n") ==
        "corpus.txt:2: there is no \"||\" between the field values and the text; data.format says to read "
        "the line as \"e2e\"; plain lines are data.format=lines");
  CHECK(open_error(e2e, "name : A|| \n") == "corpus.txt:1: there is no text after \"||\"");
  CHECK(open_error(e2e, "name : A | area||x\n") ==
        "corpus.txt:1: the field \"area\" has no ':' between name and value");
  CHECK(open_error(e2e, "name : A | : riverside||x\n") ==
        "corpus.txt:1: the field \": riverside\" has no name before its ':'");
  CHECK(open_error(e2e, "name : | area : riverside||x\n") ==
        "corpus.txt:1: the field \"name\" has no value after its ':'");

  CHECK(open_error(jsonl, "{\"src\": \"a\", \"trg\": \"b\"}\n{\"src\": \"a\",, \"trg\": \"b\"}\n") ==
        "corpus.txt:2: the line is not valid JSON: it goes wrong at byte 13; data.format says to read the "
        "line as \"jsonl\"");
  CHECK(open_error(jsonl, "{\"src\": 1e999}") ==
        "corpus.txt:1: the line is not valid JSON: a number in it is too large");
  CHECK(open_error(jsonl, "[\"a\"]") ==
        "corpus.txt:1: the line must be a JSON object, but is of type array; data.format says to read the "
        "line as \"jsonl\"");
  CHECK(open_error(jsonl, "{\"src\": \"a\"}") == "corpus.txt:1: the field \"trg\" is missing");
  CHECK(open_error(jsonl, "{\"trg\": \"a\"}") == "corpus.txt:1: the field \"src\" is missing");
  CHECK(open_error(jsonl, "{\"src\": \"a\", \"trg\": 3}") ==
        "corpus.txt:1: the field \"trg\" must be a string, but is of type number");
  CHECK(open_error(jsonl, "{\"src\": \"a\", \"trg\": \" \"}") == "corpus.txt:1: the field \"trg\" is blank");
}

TEST_CASE(
    "a line may have max_line_bytes bytes, its end and a byte order mark not counted, and not one more") {
  using enum TextFormat;
  const std::string refused =
      "corpus.txt:2: the line is longer than 8 bytes; break it up or raise data.max_line_bytes";
  for (const std::string end : {"", "\n", "\r\n", "\n12345678\n"}) {
    CAPTURE(end);
    CHECK(open_error(lines,
                     "\xEF\xBB\xBF"
                     "12345678\n12345678" +
                         end,
                     8) == "");
    CHECK(open_error(lines, "a\n123456789" + end, 8) == refused);
  }
  // Longer than what is read at a time, so that the line is put together from several pieces.
  const std::string text(300'000, 'x');
  CHECK(open_error(lines, text + "\nb\n", 300'000) == "");
  CHECK(open_error(lines, "a\n" + text + "\n", 299'999) ==
        "corpus.txt:2: the line is longer than 299999 bytes; break it up or raise data.max_line_bytes");
  CHECK(open_error(lines, "a\n" + text + text, 8) == refused);
}

TEST_CASE("lines that lie across the pieces a file is read in are found whole") {
  const TestFolder folder;
  std::mt19937_64 random(7);
  std::vector<std::string> lines;
  std::string content;
  while (content.size() < 500'000) {
    lines.push_back(fmt::format("{} {}", lines.size(), std::string(random() % 3000, 'y')));
    content += lines.back() + (random() % 2 ? "\n" : "\r\n");
    if (random() % 4 == 0) content += "\n";
  }
  CHECK(targets_of(TextFile(folder.write("corpus.txt", content))) == lines);
}

TEST_CASE("what cannot be opened as a text file is named") {
  const TestFolder folder;
  CHECK(folder.error_of([&] { TextFile(folder.path("none.txt")); }) ==
        "none.txt cannot be opened: No such file or directory");
  std::filesystem::create_directory(folder.path("a_folder"));
  CHECK(folder.error_of([&] { TextFile(folder.path("a_folder")); }) == "a_folder is not a regular file");
  CHECK(folder.error_of([&] { TextFile(folder.write("a.txt", "a"), {.max_line_bytes = 0}); }) ==
        "data.max_line_bytes must be at least 1 and below 2147483647, but is 0");
  CHECK(folder.error_of([&] { text_format("csv"); }) ==
        "data.format is \"csv\", but must be one of \"e2e\", \"lines\", \"jsonl\", \"raw\"");
}

TEST_CASE("a file that changes under the reader gives a sentence") {
  const TestFolder folder;
  const auto path = folder.write("corpus.txt", "first\nsecond\n");
  const TextFile file(path);
  folder.write("corpus.txt", "f\xFFrst\n");
  CHECK(
      folder.error_of([&] { file.record(0); }) ==
      "corpus.txt:1: the file has changed since it was opened: byte 2 of the line (0xFF) is not valid UTF-8");
  CHECK(folder.error_of([&] { file.record(1); }) ==
        "corpus.txt:2: the file has become shorter since it was opened");
}

TEST_CASE("a moved text file still reads") {
  const TestFolder folder;
  TextFile file(folder.write("a.txt", "a\n"));
  TextFile moved(std::move(file));
  CHECK(moved.record(0).target == "a");
  moved = TextFile(folder.write("b.txt", "b\n"));
  CHECK(moved.record(0).target == "b");
}

TEST_CASE(
    "random bytes either open, with records that can be read, or give an error that names file and line") {
  const TestFolder folder;
  const std::string_view pieces[] = {
      "{\"src\":", "\"trg\":", "\"a\"", "}",        "[",       "||", " : ",           "|",  "\r\n",
      "\n",        "안",       "\xEC",  "\xF4\x90", "\\ud800", ",",  "name : A||b .", "\"", "1e9"};
  std::mt19937_64 random(11);
  int opened = 0, refused = 0;
  for (int round = 0; round < 1500; ++round) {
    std::string content;
    for (uint64_t i = random() % 12; i > 0; --i) {
      if (random() % 8 == 0) {
        content += static_cast<char>(random() % 256);
      } else {
        content += pieces[random() % std::size(pieces)];
      }
    }
    const auto path = folder.write("corpus.txt", content);
    for (const auto format : {TextFormat::lines, TextFormat::jsonl, TextFormat::e2e, TextFormat::raw}) {
      const std::string error = folder.error_of([&] {
        const TextFile file(path, {.format = format, .max_line_bytes = 40});
        for (const auto& target : targets_of(file)) {
          if (trim(target).empty()) fail("a record is blank");
        }
      });
      ++(error.empty() ? opened : refused);
      if (!error.empty()) {
        CAPTURE(content);
        CHECK(error.substr(0, 11) == "corpus.txt:");
        CHECK(std::isdigit(static_cast<unsigned char>(error[11])));
      }
    }
  }
  CHECK(opened > 300);
  CHECK(refused > 300);
}

TEST_CASE("JSON nested a million deep is refused, not followed") {
  CHECK(open_error(TextFormat::jsonl, std::string(1'000'000, '[')) ==
        "corpus.txt:1: the line is not valid JSON: it goes wrong at byte 1000001; data.format says to read "
        "the line as \"jsonl\"");
}

TEST_CASE("E2E's training part gives a vocabulary of 853 words that occur ten times or more") {
  const auto path = text_test::shared_data("e2e/src1_train.txt");
  if (!path) return;
  const TextFile file(*path, {.format = TextFormat::e2e});
  CHECK(file.size() == 42'061);
  CHECK(file.record(0).fields.size() == 5);
  CHECK(build_tokenizer(TokenizerKind::word, file, 10).vocabulary_size() == 853);
}

TEST_CASE("every tenth record of a file can be held out, and of fewer than ten the last") {
  const TemporaryFolder folder;
  for (const auto& [all, held_out] : {std::pair{2, 1}, {9, 1}, {10, 1}, {19, 1}, {20, 2}, {25, 2}}) {
    std::string content;
    for (int i = 0; i < all; ++i) content += fmt::format("text {}\n\n", i);
    write_text(folder / "texts", content);
    const TextFile rest(folder / "texts", {.part = FilePart::all_but_tenth}),
        tenth(folder / "texts", {.part = FilePart::tenth});
    CHECK(rest.size() == all - held_out);
    CHECK(tenth.size() == held_out);
    std::set<std::string> texts;
    for (const TextFile* file : {&rest, &tenth}) {
      for (int64_t i = 0; i < file->size(); ++i) texts.insert(file->record(i).target);
    }
    CHECK(std::ssize(texts) == all);
    CHECK(tenth.record(0).target == fmt::format("text {}", all < 10 ? all - 1 : 9));
  }
  write_text(folder / "texts", "one\n");
  CHECK_THROWS_WITH_AS(TextFile(folder / "texts", {.part = FilePart::tenth}),
                       ((folder / "texts").string() +
                        ": of one text none can be held out; name a file to evaluate on (data.valid), or, if "
                        "the file is one long text, set data.format=raw")
                           .c_str(),
                       Error);
}

TEST_CASE("the format of a file is that of at least half of its first lines, otherwise lines") {
  const std::string e2e = "name : x | food : y||A text .", json = "{\"src\": \"\", \"trg\": \"x\"}",
                    plain = "A line: it is a || b .";
  CHECK(guess_format({e2e, e2e}) == TextFormat::e2e);
  CHECK(guess_format({e2e, "name x||A mistake ."}) == TextFormat::e2e);
  CHECK(guess_format({json, " " + json + " "}) == TextFormat::jsonl);
  CHECK(guess_format({"{\"src\": broken}"}) == TextFormat::jsonl);
  CHECK(guess_format({"A line .", "Another one ."}) == TextFormat::lines);
  CHECK(guess_format({"A line .", e2e, "Another one ."}) == TextFormat::lines);
  CHECK(guess_format({}) == TextFormat::e2e);
  const TestFolder folder;
  const auto may_be_one = [&](std::string_view content) {
    return may_be_one_text(folder.write("text.txt", content));
  };
  CHECK(may_be_one("A paragraph.\n\nAnother.\n"));
  CHECK(may_be_one("A paragraph.\r\n \r\n\r\nAnother.\r\n"));
  CHECK_FALSE(may_be_one("\n\nA line.\nAnother.\n\n\n"));
  std::string lines;
  for (int i = 0; i < 999; ++i) lines += "A line\n";
  CHECK_FALSE(may_be_one(lines));
  CHECK(may_be_one(lines + "A line"));
  CHECK_FALSE(may_be_one_text(folder.path("none")));
  CHECK(looks_like_table({"a,b", "1,2", "3,4"}));
  CHECK(looks_like_table({"a\tb", "1, x\t2", "3\t4"}));
  CHECK_FALSE(looks_like_table({"a, b", "c", "d"}));
  CHECK_FALSE(looks_like_table({"a,b", "1,2"}));
  CHECK_FALSE(looks_like_table({"One .", "Two .", "Three ."}));
}

}  // namespace haze

#include "haze/tools/text/data_set.h"

#include <algorithm>
#include <random>

#include <doctest/doctest.h>

#include "tools/text_test_files.h"

namespace haze {
namespace {

using text_test::TestFolder;
using Ids = std::vector<int32_t>;

constexpr int32_t kEnd = Tokenizer::kEnd, kUnknown = Tokenizer::kUnknown;

std::vector<Ids> sequences_of(const DataSet& data_set) {
  std::vector<Ids> sequences;
  for (int64_t i = 0; i < data_set.size(); ++i) {
    const auto ids = data_set.sequence(i);
    sequences.emplace_back(ids.begin(), ids.end());
  }
  return sequences;
}

Tokenizer tokenizer_of_abc() {
  TokenCounter counter(TokenizerKind::word);
  counter.add("a a a b b c");
  return counter.build(1);
}

}  // namespace

TEST_CASE("padded: one record is one sequence with an end token") {
  const TestFolder folder;
  const TextFile file(folder.write("corpus.txt", "a b c\n\nb\nx a x\n"));
  const DataSet data_set(file, tokenizer_of_abc(), {.max_length = 4});
  CHECK(sequences_of(data_set) ==
        std::vector<Ids>{{3, 4, 5, kEnd}, {4, kEnd}, {kUnknown, 3, kUnknown, kEnd}});
  CHECK(data_set.token_count() == 10);
  CHECK(data_set.truncated_count() == 0);
  CHECK(data_set.skipped_count() == 0);
  CHECK(data_set.options().max_length == 4);
  CHECK(folder.error_of([&] { data_set.sequence(3); }) ==
        "the data set has 3 sequences, so there is no sequence 3");
}

TEST_CASE("padded: a record that is too long is refused, truncated or skipped, as told") {
  const TestFolder folder;
  const TextFile file(folder.write("corpus.txt", "a\n\na b c\nb c\n"));
  const auto tokenizer = tokenizer_of_abc();
  CHECK(folder.error_of([&] { DataSet(file, tokenizer, {.max_length = 3}); }) ==
        "corpus.txt:3: the text has 4 tokens, end token counted, more than data.max_length = 3; raise "
        "data.max_length, or set data.too_long to \"truncate\" or \"skip\"");

  const DataSet truncated(file, tokenizer, {.max_length = 3, .too_long = LongRecord::truncate});
  CHECK(sequences_of(truncated) == std::vector<Ids>{{3, kEnd}, {3, 4, kEnd}, {4, 5, kEnd}});
  CHECK(truncated.truncated_count() == 1);

  const DataSet skipped(file, tokenizer, {.max_length = 3, .too_long = LongRecord::skip});
  CHECK(sequences_of(skipped) == std::vector<Ids>{{3, kEnd}, {4, 5, kEnd}});
  CHECK(skipped.skipped_count() == 1);
  CHECK(skipped.token_count() == 5);
}

TEST_CASE("packed blocks are the whole text cut into equal pieces") {
  const TestFolder folder;
  std::mt19937_64 random(3);
  std::string content;
  std::vector<std::string> words;  // of the whole text, "|" for an end
  for (int line = 0; line < 200; ++line) {
    for (uint64_t word = 0; word <= random() % 9; ++word) {
      words.emplace_back(1, static_cast<char>('a' + random() % 4));
      content += words.back() + " ";
    }
    words.emplace_back("|");
    content += "\n";
  }
  const TextFile file(folder.write("corpus.txt", content));
  for (const int32_t max_length : {2, 7, 64}) {
    const DataSet data_set(file, tokenizer_of_abc(), {.max_length = max_length, .layout = Layout::packed});
    REQUIRE(data_set.size() == static_cast<int64_t>(words.size()) / max_length);
    size_t at = 0, wrong = 0;
    for (const Ids& block : sequences_of(data_set)) {
      REQUIRE(block.size() == static_cast<size_t>(max_length));
      for (const int32_t id : block) {
        const std::string& word = words[at++];
        wrong += id != (word == "|" ? kEnd : word == "d" ? kUnknown : 3 + (word[0] - 'a'));
      }
    }
    CHECK(wrong == 0);
    CHECK(data_set.token_count() == data_set.size() * max_length);
  }
}

TEST_CASE("what gives no data set is refused in one sentence") {
  const TestFolder folder;
  const TextFile file(folder.write("corpus.txt", "a b\nb c\n"));
  const auto tokenizer = tokenizer_of_abc();
  CHECK(folder.error_of([&] { DataSet(file, tokenizer, {.max_length = 1}); }) ==
        "data.max_length must be at least 2, but is 1");
  CHECK(folder.error_of([&] { DataSet(file, tokenizer, {.max_length = 2, .too_long = LongRecord::skip}); }) ==
        "corpus.txt: every record has more than data.max_length = 2 tokens, end token counted; raise "
        "data.max_length");
  CHECK(
      folder.error_of([&] { DataSet(file, tokenizer, {.max_length = 7, .layout = Layout::packed}); }) ==
      "corpus.txt: the file has 6 tokens, end tokens counted, too few for one block of data.max_length = 7; "
      "lower data.max_length");
  CHECK(DataSet(file, tokenizer, {.max_length = 6, .layout = Layout::packed}).size() == 1);
  CHECK(folder.error_of([&] { data_layout("dense"); }) ==
        "data.layout is \"dense\", but must be one of \"padded\", \"packed\"");
  CHECK(folder.error_of([&] { long_record("cut"); }) ==
        "data.too_long is \"cut\", but must be one of \"error\", \"truncate\", \"skip\"");
}

TEST_CASE("a part that is too short for one block is named") {
  const TestFolder folder;
  const auto error_of = [&](FilePart part) {
    const TextFile file(folder.write("corpus.txt", "a b c a b c a b c a"),
                        {.format = TextFormat::raw, .part = part});
    return folder.error_of(
        [&] { DataSet(file, tokenizer_of_abc(), {.max_length = 12, .layout = Layout::packed}); });
  };
  const std::string few = " tokens, too few for one block of data.max_length = 12; lower data.max_length";
  CHECK(error_of(FilePart::all) == "corpus.txt: the file has 10" + few);
  CHECK(error_of(FilePart::all_but_tenth) == "corpus.txt: the part to train on has 9" + few);
  CHECK(error_of(FilePart::tenth) == "corpus.txt: the tenth held out has 1" + few);
}

TEST_CASE("a raw text is cut into blocks without an end token, and cannot be padded") {
  const TestFolder folder;
  const TextFile file(folder.write("corpus.txt", "a b c\n\nb x"), {.format = TextFormat::raw});
  const DataSet data_set(file, tokenizer_of_abc(), {.max_length = 2, .layout = Layout::packed});
  CHECK(sequences_of(data_set) == std::vector<Ids>{{3, 4}, {5, 4}});
  CHECK(data_set.token_count() == 4);
  CHECK(data_set.dropped_count() == 1);
  CHECK(data_set.record_count() == 1);
  CHECK(folder.error_of([&] { DataSet(file, tokenizer_of_abc(), {.max_length = 2}); }) ==
        "data.format raw is one text, which data.layout packed cuts into blocks; padded is for several");
}

}  // namespace haze

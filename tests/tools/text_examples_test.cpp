#include "haze/tools/tasks/text_examples.h"

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/tools/tasks/text_task.h"

#include "error_of.h"
#include "text_test_files.h"
#include "tiny_run.h"

using namespace haze;
using haze::text_test::TestFolder;

namespace {

using Rows = std::vector<std::vector<int32_t>>;

constexpr int64_t kMostTarget = 6, kMostSource = 7;

/// Tokens that the sources and the targets of some records have: short, long, and on the limits.
const std::vector<std::pair<int, int>> kSizes = {{3, 3}, {3, 9}, {12, 3},          {7, 5}, {9, 9},
                                                 {5, 2}, {8, 5}, {kMostSource, 6}, {4, 4}};

std::string words(const std::string& first, int count) {
  std::string text = first;
  for (int i = 1; i < count; ++i) text += fmt::format(" {}.{}", first, i);
  return text;
}

/// A file of pairs, no two of which share a word, with a blank line before them. An e2e source has its
/// field's name and a colon before its words.
std::string file_of_pairs(TextFormat format) {
  std::string lines = "\n";
  for (size_t i = 0; i < kSizes.size(); ++i) {
    const bool e2e = format == TextFormat::e2e;
    const std::string source = words(fmt::format("s{}", i), kSizes[i].first - (e2e ? 2 : 0));
    const std::string target = words(fmt::format("t{}", i), kSizes[i].second);
    lines += e2e ? fmt::format("k : {}||{}\n", source, target)
                 : fmt::format("{{\"src\": \"{}\", \"trg\": \"{}\"}}\n", source, target);
  }
  return lines;
}

Rows rows_of(const TextBatch& batch) {
  const std::vector<int32_t> ids = batch.ids.to_vector<int32_t>();
  const std::vector<int32_t> offsets = batch.sequences.offsets.to_vector<int32_t>();
  Rows rows;
  for (size_t i = 0; i + 1 < offsets.size(); ++i)
    rows.emplace_back(ids.begin() + offsets[i], ids.begin() + offsets[i + 1]);
  return rows;
}

TextExampleOptions pair_options(LongRecord too_long) {
  return {.texts = {.max_length = kMostTarget, .too_long = too_long},
          .sources = true,
          .max_source_length = kMostSource,
          .label_field = ""};
}

/// A file, and a tokeniser of all its words.
struct PairFile {
  explicit PairFile(const std::string& contents, TextFormat format)
      : file(folder.write("pairs", contents), {.format = format}),
        tokenizer(build_tokenizer(TokenizerKind::word, file, 1, true)) {}

  TextExamples examples(const TextExampleOptions& options, const Labels& labels = {}) const {
    return TextExamples(file, tokenizer, labels, options);
  }
  std::string refusal(const TextExampleOptions& options, const Labels& labels = {}) const {
    return folder.error_of([&] { examples(options, labels); });
  }

  TestFolder folder;
  TextFile file;
  Tokenizer tokenizer;
};

/// What a record becomes, from its text: source and target; nothing where it is left out.
std::optional<std::pair<std::vector<int32_t>, std::vector<int32_t>>> expected_pair(const PairFile& pairs,
                                                                                   int64_t record,
                                                                                   LongRecord too_long) {
  std::vector<int32_t> source = pairs.tokenizer.encode(pairs.file.record(record).source);
  std::vector<int32_t> target = pairs.tokenizer.encode(pairs.file.record(record).target);
  const bool fits = source.size() <= kMostSource && target.size() < kMostTarget;
  if (!fits && too_long == LongRecord::skip) return std::nullopt;
  source.resize(std::min<size_t>(source.size(), kMostSource));
  target.resize(std::min<size_t>(target.size(), kMostTarget - 1));
  target.push_back(Tokenizer::kEnd);
  return std::pair{source, target};
}

/// Examples of which only the number of rows is known; a batch's values are their numbers.
class SizedExamples : public Examples {
 public:
  explicit SizedExamples(std::vector<int64_t> rows) : rows_(std::move(rows)) {}
  int64_t size() const override { return std::ssize(rows_); }
  int64_t rows(int64_t index) const override { return rows_.at(static_cast<size_t>(index)); }
  Batch batch(std::span<const int64_t> indices) const override {
    Batch batch;
    const std::vector<float> numbers(indices.begin(), indices.end());
    batch.values = Tensor::from(numbers, {std::ssize(numbers)});
    return batch;
  }

 private:
  std::vector<int64_t> rows_;
};

const std::string kLabelledLines =
    "k : a | food : French||one\n"
    "k : b||two\n"
    "food : Thai | k : c||three\n"
    "food : none||four\n"
    "k : d | food : French||five of these words are too many\n"
    "food : Greek||six\n";

TextExampleOptions label_options(LongRecord too_long = LongRecord::error) {
  return {.texts = {.max_length = 16, .too_long = too_long}, .label_field = "food"};
}

}  // namespace

TEST_CASE("pairs stay beside their sources where long texts or long sources are cut or left out") {
  for (const TextFormat format : {TextFormat::jsonl, TextFormat::e2e}) {
    const PairFile pairs(file_of_pairs(format), format);
    for (const LongRecord too_long : {LongRecord::truncate, LongRecord::skip}) {
      CAPTURE(static_cast<int>(format));
      CAPTURE(static_cast<int>(too_long));
      const TextExamples examples = pairs.examples(pair_options(too_long));
      Rows sources, targets;
      std::vector<int64_t> records, numbers;
      for (int64_t record = 0; record < pairs.file.size(); ++record) {
        const auto pair = expected_pair(pairs, record, too_long);
        if (!pair) continue;
        sources.push_back(pair->first);
        targets.push_back(pair->second);
        numbers.push_back(std::ssize(records));
        records.push_back(record);
      }
      REQUIRE(examples.size() == std::ssize(records));
      CHECK(examples.size() == (too_long == LongRecord::skip ? 4 : std::ssize(kSizes)));
      const Batch all = examples.batch(numbers);
      CHECK(rows_of(*all.source) == sources);
      CHECK(rows_of(*all.target) == targets);
      CHECK_FALSE(all.labels.defined());
      for (size_t i = 0; i < records.size(); ++i) {
        CHECK(examples.record(static_cast<int64_t>(i)) == records[i]);
        CHECK(examples.rows(static_cast<int64_t>(i)) == std::ssize(sources[i]) + std::ssize(targets[i]));
      }
      const Batch two = examples.batch(std::vector<int64_t>{3, 1});
      CHECK(rows_of(*two.source) == Rows{sources[3], sources[1]});
      CHECK(rows_of(*two.target) == Rows{targets[3], targets[1]});
      CHECK_FALSE(examples.holds_whole_records());
      const TextExamples::Counts counts = examples.counts();
      CHECK(counts.texts == std::ssize(targets));
      CHECK(counts.tokens ==
            std::accumulate(targets.begin(), targets.end(), int64_t{0},
                            [](int64_t sum, const auto& target) { return sum + std::ssize(target); }));
      CHECK(counts.unknown == 0);
    }
  }
}

TEST_CASE("texts and tokens are counted once, with however many labels a text is learnt") {
  const PairFile pairs("a : 1 | b : 2||one two rare\na : 1||two\n", TextFormat::e2e);
  TokenCounter counter(TokenizerKind::word);
  counter.add("one two");
  const TextExamples examples(pairs.file, counter.build(1), Labels::of(pairs.file, kAnyField),
                              {.texts = {.max_length = 16}, .label_field = kAnyField});
  CHECK(examples.size() == 3);
  CHECK(examples.counts().texts == 2);
  CHECK(examples.counts().tokens == 6);
  CHECK(examples.counts().unknown == 1);
  CHECK(examples.counts().unknown_share() == doctest::Approx(1.0 / 6).epsilon(1e-12));
}

TEST_CASE(
    "a long text and a long source are refused with file and line, unless they are to be cut or left out") {
  for (const TextFormat format : {TextFormat::jsonl, TextFormat::e2e}) {
    const PairFile pairs(file_of_pairs(format), format);
    TextExampleOptions options = pair_options(LongRecord::error);
    // The second record is on line 3, the third on line 4.
    CHECK(
        pairs.refusal(options).starts_with("pairs:3: the text has 10 tokens, end token counted, more than"));
    options.texts.max_length = 10;
    CHECK(pairs.refusal(options) ==
          "pairs:4: the source has 12 tokens, more than data.max_source_length = 7; raise "
          "data.max_source_length, or set data.too_long to \"truncate\" or \"skip\"");
    options.max_source_length = 12;
    CHECK(pairs.examples(options).holds_whole_records());
  }
}

TEST_CASE("where every source is too long, or a source is empty, a sentence says so") {
  const PairFile pairs("{\"src\": \"a b c\", \"trg\": \"t\"}\n", TextFormat::jsonl);
  TextExampleOptions options = pair_options(LongRecord::skip);
  options.max_source_length = 2;
  CHECK(pairs.refusal(options) ==
        "pairs: every source has more than data.max_source_length = 2 tokens; raise data.max_source_length");
  for (const char* blank : {"", " \\t"}) {
    const PairFile empty(
        fmt::format("{{\"src\": \"a\", \"trg\": \"t\"}}\n\n{{\"src\": \"{}\", \"trg\": \"t\"}}\n", blank),
        TextFormat::jsonl);
    CHECK(empty.refusal(pair_options(LongRecord::error)) == "pairs:3: the source is empty");
  }
  const PairFile e2e("k : v||a text\n||a text\n", TextFormat::e2e);
  CHECK(e2e.refusal(pair_options(LongRecord::skip)) == "pairs:2: the source is empty");
  CHECK(e2e.examples({}).batch(std::vector<int64_t>{1}).source.has_value() == false);
}

TEST_CASE(
    "labels are numbered in the order of their first occurrence; a text without the field has class 0") {
  const PairFile pairs(kLabelledLines, TextFormat::e2e);
  const Labels labels = Labels::of(pairs.file, "food");
  REQUIRE(labels.count() == 4);
  CHECK(labels.name(0) == "none");
  CHECK(labels.name(1) == "French");
  CHECK(labels.name(2) == "Thai");
  CHECK(labels.name(3) == "Greek");
  const TextExamples examples = pairs.examples(label_options(), labels);
  const Batch all = examples.batch(spread_indices(examples.size(), 0));
  CHECK(all.labels.to_vector<int32_t>() == std::vector<int32_t>{1, 0, 2, 0, 1, 3});
  CHECK_FALSE(all.source.has_value());
}

TEST_CASE("where every field is a label, a text is an example for each of its fields, or one without") {
  const PairFile pairs("food : Thai | area : north||one\n||two\narea : south||three\n", TextFormat::e2e);
  const Labels labels = Labels::of(pairs.file, kAnyField);
  REQUIRE(labels.count() == 4);
  CHECK(labels.name(1) == "food : Thai");
  CHECK(labels.name(2) == "area : north");
  CHECK(labels.name(3) == "area : south");
  TextExampleOptions options = label_options();
  options.label_field = kAnyField;
  const TextExamples examples = pairs.examples(options, labels);
  REQUIRE(examples.size() == 4);
  const Batch all = examples.batch(spread_indices(examples.size(), 0));
  CHECK(all.labels.to_vector<int32_t>() == std::vector<int32_t>{1, 2, 0, 3});
  std::vector<std::string> texts;
  for (const auto& row : rows_of(*all.target)) texts.push_back(pairs.tokenizer.decode(row));
  CHECK(texts == std::vector<std::string>{"one <end>", "one <end>", "two <end>", "three <end>"});
  CHECK(examples.record(1) == 0);
  CHECK(examples.record(3) == 2);
  const PairFile other("area : east||one\n", TextFormat::e2e);
  CHECK(other.refusal(options, labels) ==
        "pairs:1: the field 'area : east' does not occur in the training data");
}

TEST_CASE("labels stay beside their texts where long texts and long sources are left out") {
  const PairFile pairs(kLabelledLines, TextFormat::e2e);
  const Labels labels = Labels::of(pairs.file, "food");
  TextExampleOptions options = label_options(LongRecord::skip);
  options.texts.max_length = 5;  // leaves the fifth text out
  options.sources = true;
  options.max_source_length = 6;  // leaves the first and the third source out
  const TextExamples examples = pairs.examples(options, labels);
  REQUIRE(examples.size() == 3);
  const Batch batch = examples.batch(std::vector<int64_t>{2, 0, 1});
  CHECK(batch.labels.to_vector<int32_t>() == std::vector<int32_t>{3, 0, 0});
  CHECK(pairs.tokenizer.decode(rows_of(*batch.target)[0]) == "six <end>");
  CHECK(pairs.tokenizer.decode(rows_of(*batch.source)[0]) == "food : Greek");
  CHECK(pairs.tokenizer.decode(rows_of(*batch.target)[1]) == "two <end>");
}

TEST_CASE("a label that training has not seen, and a field that no line has, are refused") {
  const PairFile train(kLabelledLines, TextFormat::e2e);
  const PairFile valid("food : Thai||one\nfood : Welsh||two\n", TextFormat::e2e);
  const Labels labels = Labels::of(train.file, "food");
  CHECK(valid.refusal(label_options(), labels) ==
        "pairs:2: the food 'Welsh' does not occur in the training data");
  CHECK(train.folder.error_of([&] { Labels::of(train.file, "colour"); }) ==
        "pairs: no line has a field 'colour', which data.label names");
}

TEST_CASE("tags of a text that is cut are refused, and left out with the text where it is skipped") {
  const PairFile file("one two three\nfour\n", TextFormat::lines);
  file.folder.write("pairs.tags", "NUM NUM NUM\nNUM\n");
  const Labels labels = Labels::of_names({"NUM"});
  TextExampleOptions options{.texts = {.max_length = 3, .too_long = LongRecord::truncate},
                             .annotation = Annotation::tags};
  CHECK(
      file.refusal(options, labels) ==
      "pairs:1: the text has 3 annotated words, and data.max_length cuts it; set data.too_long to \"skip\", "
      "or raise data.max_length");
  options.texts.too_long = LongRecord::skip;
  const TextExamples examples = file.examples(options, labels);
  REQUIRE(examples.size() == 1);
  CHECK(examples.batch(std::vector<int64_t>{0}).tags.to_vector<int32_t>() == std::vector<int32_t>{1, 0});
}

TEST_CASE("labels.json reads back as it was written, and a damaged one is refused") {
  const PairFile pairs(kLabelledLines, TextFormat::e2e);
  const Labels labels = Labels::of(pairs.file, "food");
  const Labels again = Labels::from_json(labels.to_json(), "x");
  REQUIRE(again.count() == labels.count());
  for (int64_t i = 0; i < labels.count(); ++i) CHECK(again.name(i) == labels.name(i));
  CHECK(again.to_json() == labels.to_json());
  const auto refusal = [](const std::string& json) {
    return testing::error_of([&] { Labels::from_json(json, "labels.json"); });
  };
  for (const char* json : {"", "{", "[]", "null", "{}", R"({"labels": []})", R"({"labels": {}})",
                           R"({"labels": ["none", 3]})", R"({"labels": "none"})"}) {
    CAPTURE(json);
    CHECK(refusal(json) == "labels.json: not the labels of a haze model: \"labels\" must be a list of names");
  }
  CHECK(refusal(R"({"labels": ["French", "none"]})") == "labels.json: label 0 cannot be \"French\"");
  CHECK(refusal(R"({"labels": ["none", "a", "a"]})") == "labels.json: label 2 cannot be \"a\"");
}

TEST_CASE("a task of labelled texts is the same after its side files have been written and read") {
  const TestFolder folder;
  const std::string file = folder.write("train", kLabelledLines).string();
  Settings settings =
      testing::tiny_settings({"data.train=" + file, "data.valid=" + file, "data.max_length=16"});
  // No model learns labels yet: the setting takes no more than the models' tasks.
  settings.set("data.label", std::string("food"));
  const std::unique_ptr<TextTask> task = TextTask::start(settings, folder.path("run"));
  CHECK(task->facts().labels == 4);
  SideFiles files = task->side_files();
  CHECK(TextTask::restore(settings, folder.path("run"), files)->side_files() == files);
  for (auto& side_file : files) {
    const std::string& name = side_file.first;
    std::string& contents = side_file.second;
    CAPTURE(name);
    const std::string whole = std::exchange(contents, contents.substr(0, contents.size() / 2));
    CHECK(testing::error_of([&] {
            TextTask::restore(settings, "", files);
          }).starts_with(name + " of the checkpoint:"));
    contents = whole;
  }
  files.pop_back();
  CHECK(testing::error_of([&] { TextTask::restore(settings, "", files); }) ==
        "the checkpoint has no labels.json");
}

TEST_CASE("batches hold all examples in their order, as many as fit in the rows of a call") {
  Generator generator(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<int64_t> rows;
    for (int i = 0; i < 30; ++i) rows.push_back(1 + static_cast<int64_t>(generator.below(12)));
    const SizedExamples examples(rows);
    std::vector<int64_t> indices;
    for (uint64_t i = 0; i < 1 + generator.below(40); ++i)
      indices.push_back(static_cast<int64_t>(generator.below(30)));
    const int64_t limit = 1 + static_cast<int64_t>(generator.below(25));
    const std::vector<Batch> batches = batches_of(examples, indices, limit);
    std::vector<int64_t> seen;
    int64_t before = limit;  // rows of the batch before
    for (const Batch& batch : batches) {
      int64_t taken = 0;
      const std::vector<float> numbers = batch.values.to_vector<float>();
      for (const float number : numbers) {
        seen.push_back(static_cast<int64_t>(number));
        taken += examples.rows(seen.back());
      }
      CHECK((taken <= limit || numbers.size() == 1));
      const int64_t first = examples.rows(static_cast<int64_t>(numbers[0]));
      CHECK((&batch == &batches.front() || before + first > limit));
      before = taken;
    }
    CHECK(seen == indices);
  }
  CHECK(batches_of(SizedExamples({1}), {}, 5).empty());
}

TEST_CASE("spread indices are evenly spaced, begin with 0, and are all there are where that is asked for") {
  CHECK(spread_indices(10, 3) == std::vector<int64_t>{0, 3, 6});
  CHECK(spread_indices(4, 0) == std::vector<int64_t>{0, 1, 2, 3});
  CHECK(spread_indices(4, 9) == std::vector<int64_t>{0, 1, 2, 3});
  for (int64_t size = 1; size < 40; ++size) {
    for (int64_t count = 1; count <= size; ++count) {
      const std::vector<int64_t> indices = spread_indices(size, count);
      REQUIRE(std::ssize(indices) == count);
      CHECK(indices.front() == 0);
      for (size_t i = 0; i < indices.size(); ++i) {
        const int64_t next = i + 1 < indices.size() ? indices[i + 1] : size;
        const int64_t gap = next - indices[i];
        CHECK((gap == size / count || gap == size / count + 1));
      }
    }
  }
}

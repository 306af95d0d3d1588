#include "haze/tools/tasks/tagging.h"

#include <cmath>

#include "haze/tools/run/data_files.h"

namespace haze {
namespace {

constexpr const char* kWork = "tagging";

// The classes of the batch's words, text by text.
std::vector<std::vector<int32_t>> by_text(const Batch& batch, const std::vector<int32_t>& classes) {
  std::vector<std::vector<int32_t>> texts;
  auto from = classes.begin();
  for (const int64_t length : batch.target->sequences.lengths) {
    const auto to = from + (length - 1);  // all but the end token
    texts.emplace_back(from, to);
    from = to;
  }
  return texts;
}

// Appends the names of the tags that the words of a batch's texts have.
void add_tags(const TextTask& task, const TokenClassifier& classifier, const Batch& batch, TextTags& tags) {
  for (const std::vector<int32_t>& text : by_text(batch, classifier.word_classes(batch))) {
    std::vector<std::string>& names = tags.emplace_back();
    for (const int32_t tag : text) names.push_back(task.tag_name(tag));
  }
}

void require_short_texts(const TextTask& task, const TextFile& texts) {
  const int64_t most = task.facts().max_length - 1;
  for (int64_t i = 0; i < texts.size(); ++i) {
    const int64_t words = std::ssize(task.tokenizer().encode(texts.record(i).target));
    if (words > most)
      fail("{}: the text has {} words, and the run reads at most {}", texts.location(i), words, most);
  }
}

}  // namespace

void TagAccuracy::add(int64_t right, int64_t words) {
  texts_.emplace_back(right, words);
}

int64_t TagAccuracy::words() const {
  int64_t sum = 0;
  for (const auto& [right, words] : texts_) sum += words;
  return sum;
}

double TagAccuracy::value() const {
  int64_t sum = 0;
  for (const auto& [right, words] : texts_) sum += right;
  return static_cast<double>(sum) / static_cast<double>(words());
}

double TagAccuracy::error() const {
  const double share = value();
  double squares = 0;
  for (const auto& [right, words] : texts_) {
    const double residual = static_cast<double>(right) - share * static_cast<double>(words);
    squares += residual * residual;
  }
  return std::sqrt(squares) / static_cast<double>(words());
}

const TokenClassifier& require_tagger(const Model& model, const Settings& settings) {
  const TokenClassifier* classifier = model.token_classifier();
  if (!classifier)
    fail("the model {} tags no texts; haze models lists those of the task tagged", settings.text("model"));
  return *classifier;
}

TextTags tags_of_file(const TextTask& task, const Model& model, const Settings& settings,
                      const std::filesystem::path& file, const WorkProgress& progress) {
  const TokenClassifier& classifier = require_tagger(model, settings);
  require_short_texts(task, TextFile(file, text_file_options(settings)));
  const std::unique_ptr<Examples> examples = task.untagged_examples_of(settings, file);
  const std::vector<Batch> batches = batches_of(*examples, spread_indices(examples->size(), 0));
  TextTags tags;
  for (size_t i = 0; i < batches.size(); ++i) {
    add_tags(task, classifier, batches[i], tags);
    progress(kWork, static_cast<int64_t>(i) + 1, std::ssize(batches));
  }
  return tags;
}

TextTags tags_of_texts(const TextTask& task, const Model& model, const Settings& settings,
                       const std::vector<std::string>& texts) {
  const TokenClassifier& classifier = require_tagger(model, settings);
  TextTags tags;
  for (const std::string& text : texts) {
    std::vector<int32_t> tokens = task.tokenizer().encode(text);
    tokens.push_back(Tokenizer::kEnd);
    if (std::ssize(tokens) > task.facts().max_length)
      fail("the tagger reads {} words, and a text has {}", task.facts().max_length - 1, tokens.size() - 1);
    TextSpelling spelling;
    spelling.add(text);
    Batch batch;
    batch.target = TextBatch::of(std::span<const std::vector<int32_t>>(&tokens, 1));
    batch.spelling = spelling.of(std::vector<int64_t>{0});
    add_tags(task, classifier, batch, tags);
  }
  return tags;
}

TagAccuracy compare_tags(const TextTags& tags, const TextTags& wanted, const TextFile& file) {
  TagAccuracy accuracy;
  for (size_t i = 0; i < tags.size(); ++i) {
    const int64_t words = std::ssize(tags[i]);
    if (std::ssize(wanted.at(i)) != words)
      fail("{}: the text has {} words, and {} tags", file.location(static_cast<int64_t>(i)), words,
           wanted[i].size());
    int64_t right = 0;
    for (size_t j = 0; j < tags[i].size(); ++j) right += tags[i][j] == wanted[i][j];
    accuracy.add(right, words);
  }
  return accuracy;
}

void measure_tags(const TaskEvaluation& evaluation, Report& report) {
  const TokenClassifier* classifier = evaluation.model.token_classifier();
  if (!classifier) return;
  TagAccuracy accuracy;
  const std::vector<Batch> batches = batches_of(evaluation.examples, evaluation.indices);
  for (size_t i = 0; i < batches.size(); ++i) {
    const std::vector<int32_t> tags = batches[i].tags_for("tag_accuracy").to_vector<int32_t>();
    auto wanted = tags.begin();
    for (const std::vector<int32_t>& text : by_text(batches[i], classifier->word_classes(batches[i]))) {
      int64_t right = 0;
      for (const int32_t tag : text) right += tag == *wanted++;
      ++wanted;  // the end token
      accuracy.add(right, std::ssize(text));
    }
    evaluation.observer(kWork, static_cast<int64_t>(i) + 1, std::ssize(batches));
  }
  report.measures.push_back({"tag_accuracy", "words with the right tag", accuracy.value(), accuracy.error()});
}

}  // namespace haze

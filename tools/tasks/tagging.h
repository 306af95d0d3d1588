#pragma once

#include "haze/tools/tasks/text_task.h"

namespace haze {

using TextTags = std::vector<std::vector<std::string>>;  // of each text, a tag a word

/// A share of words, counted text by text.
class TagAccuracy {
 public:
  void add(int64_t right, int64_t words);
  int64_t words() const;
  double value() const;
  /// One standard error. Texts, and not words, are independent: sqrt(sum (right_i - value words_i)^2) / words
  /// (Cochran 1977, Sampling techniques, section 2.11: a ratio of two sums).
  double error() const;

 private:
  std::vector<std::pair<int64_t, int64_t>> texts_;  // right, words
};

/// Throws Error where a model tags no clean texts; `settings` are its run's.
const TokenClassifier& require_tagger(const Model& model, const Settings& settings);

/// The tags that a model gives the words of a file's texts. Throws Error, naming file and line, where a text
/// is longer than the model reads, and as require_tagger().
TextTags tags_of_file(const TextTask& task, const Model& model, const Settings& settings,
                      const std::filesystem::path& file, const WorkProgress& progress);

/// The tags that a model gives the words of texts. Throws Error as require_tagger(), and where a text is
/// longer than the model reads.
TextTags tags_of_texts(const TextTask& task, const Model& model, const Settings& settings,
                       const std::vector<std::string>& texts);

/// How many of `tags` stand in `wanted`. Throws Error, naming a text of `file`, where one has another number
/// of words.
TagAccuracy compare_tags(const TextTags& tags, const TextTags& wanted, const TextFile& file);

/// Adds `tag_accuracy` of a model that tags clean texts to the report.
void measure_tags(const TaskEvaluation& evaluation, Report& report);

}  // namespace haze

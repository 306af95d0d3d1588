#pragma once

#include <optional>
#include <string>
#include <vector>

#include "haze/tools/tasks/task.h"
#include "haze/tools/tasks/text_annotations.h"
#include "haze/tools/tasks/text_spelling.h"
#include "haze/tools/text/data_set.h"

namespace haze {

/// The name of data.label for which every field of a text is a label, such as "food : Japanese".
inline constexpr const char* kAnyField = "*";

/// The classes of a task: of labelled texts the values of one field of E2E lines, or of all, of tagged and
/// parsed ones the tags and the labels of phrases. The class 0 is "none": that of texts without the field or
/// with this value, of end tokens, and of words that are no phrase.
class Labels {
 public:
  Labels() : names_{"none"} {}
  /// Every value that the field, or any field, has in a file, in the order of its first occurrence.
  static Labels of(const TextFile& file, const std::string& field);
  /// These names after "none".
  static Labels of_names(const std::vector<std::string>& names);

  int64_t count() const { return static_cast<int64_t>(names_.size()); }
  const std::string& name(int64_t label) const { return names_.at(static_cast<size_t>(label)); }
  const std::vector<std::string>& names() const { return names_; }
  /// The number of a class other than "none", `what` of which is meant in messages, such as "part of speech".
  /// Throws Error with the nearest that there is.
  int32_t called(const std::string& name, const std::string& what) const;
  /// The class of a record: of any field, one for each field. Throws Error, naming `where`, where a value is
  /// none of the classes.
  std::vector<int32_t> of_record(const Record& record, const std::string& field,
                                 const std::string& where) const;

  std::string to_json() const;
  /// Throws Error naming `source`.
  static Labels from_json(const std::string& text, const std::string& source);

 private:
  std::vector<std::string> names_;
};

/// The name of the class that a field and its value are where every field is a label.
std::string label_name(const Field& field);

/// The parts that an example of a text file holds beside its text.
struct TextExampleOptions {
  DataSetOptions texts;
  bool sources = false;
  int64_t max_source_length = 64;  // a longer source is treated as texts.too_long says
  std::string label_field;         // empty: no labels; kAnyField: an example for each field of a text
  Annotation annotation = Annotation::none;
  bool spelling = false;
};

/// The examples of a text file: texts, with their sources in pairs, with labels, tags or trees.
class TextExamples : public Examples {
 public:
  /// Throws Error where the file is wrong, and where a source is empty or too long.
  TextExamples(const TextFile& file, const Tokenizer& tokenizer, const Labels& labels,
               const TextExampleOptions& options);

  int64_t size() const override { return static_cast<int64_t>(kept_.size()); }
  int64_t rows(int64_t index) const override;
  Batch batch(std::span<const int64_t> indices) const override;

  std::span<const int32_t> text(int64_t index) const;
  /// The record of the file that an example was made of (padded layout).
  int64_t record(int64_t index) const { return texts_.record(kept_.at(static_cast<size_t>(index))); }
  const DataSet& texts() const { return texts_; }
  /// The share of the target's tokens that are the unknown one.
  double unknown_share() const;
  /// Whether every record of the file is here, and whole.
  bool holds_whole_records() const;

 private:
  /// Whether the example is kept.
  bool add_source(const TextFile& file, const Tokenizer& tokenizer, int64_t sequence,
                  const TextExampleOptions& options);
  std::span<const int32_t> source(int64_t index) const;
  /// Numbers the classes of the file's annotations. Throws Error where a text has another number of tokens
  /// than words, or a class that training did not.
  void add_annotations(const TextFile& file, const Labels& labels, Annotation annotation);

  DataSet texts_;
  std::vector<int64_t> kept_;  // sequences of texts_
  std::vector<int32_t> source_ids_;
  std::vector<int64_t> source_offsets_;  // of example i: [i], [i + 1]; empty: no sources
  std::vector<int32_t> labels_;
  std::vector<std::vector<int32_t>> tags_;        // of each example, with its end token; empty: no tags
  std::vector<std::vector<LabelledSpan>> spans_;  // of each example; empty: no trees
  std::optional<TextSpelling> spelling_;          // of each example
  bool cut_sources_ = false;
};

}  // namespace haze

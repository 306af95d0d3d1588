#pragma once

#include "haze/tools/tasks/task.h"
#include "haze/tools/tasks/text_examples.h"
#include "haze/tools/text/length_distribution.h"

namespace haze {

/// Texts; pairs of a source text and a target text; texts with a label, with tags or with trees. Its side
/// files are the tokeniser, the lengths of the training texts, and the labels.
class TextTask : public Task {
 public:
  /// The task of a new run in `folder`. It makes tokeniser, lengths and labels from the training file.
  static std::unique_ptr<TextTask> start(const Settings& settings, const std::filesystem::path& folder);
  /// The task of a run that was saved. Throws Error where a side file is missing or damaged.
  static std::unique_ptr<TextTask> restore(const Settings& settings, const std::filesystem::path& folder,
                                           const SideFiles& side_files);

  /// `settings` are resolved ones, whose sections [data] and [sample] are read.
  TextTask(const Settings& settings, std::filesystem::path folder, Tokenizer tokenizer,
           LengthDistribution lengths, Labels labels = {});

  DataFacts facts() const override;
  SideFiles side_files() const override;
  std::string unit() const override { return "token"; }
  std::string example() const override { return ends_are_fixed_ ? "text" : "block"; }
  std::unique_ptr<Examples> examples(const Settings& settings, Part part) const override;
  std::unique_ptr<Examples> examples_of(const Settings& settings,
                                        const std::filesystem::path& file) const override;
  /// Those of a file without FILE.tags, each text whole, for a model that tags them.
  std::unique_ptr<Examples> untagged_examples_of(const Settings& settings,
                                                 const std::filesystem::path& file) const;
  DataSummary summary(const Examples& train, const Examples& valid) const override;
  std::string origin(const Settings& settings, Part part) const override;
  std::string fingerprint(const Settings& settings, Part part) const override;
  std::vector<Request> requests(const Settings& settings, const Uses& uses,
                                const SampleRequest& request) const override;
  std::vector<int32_t> forbidden_tokens(const Settings& settings, const Uses& uses) const override;
  std::string written(const Samples& samples, int64_t index) const override;
  std::string json(const Samples& samples, int64_t index) const override;
  Trace new_trace(const Request& request) const override;
  TraceStep trace_step(const Snapshot& snapshot, size_t index) const override;
  void measure(const TaskEvaluation& evaluation, Report& report) const override;

  /// The number of the label that a field's value is, such as "food" and "Japanese". Throws Error, with the
  /// nearest that there is, where the run has no such label.
  int32_t label_called(const std::string& field, const std::string& value) const;
  /// The classes of parts of speech, such as NOUN. Throws Error likewise.
  std::vector<int32_t> tags_called(const std::vector<std::string>& names) const;
  const std::string& tag_name(int32_t tag) const { return labels_.name(tag); }
  /// The classes of phrases among whose labels is `label`, and the one of exactly these joined labels
  /// (text_annotations.h). Throws Error likewise.
  std::vector<int32_t> span_labels_with(const std::string& label) const;
  int32_t span_label_called(const std::string& joined) const;

  const Tokenizer& tokenizer() const { return tokenizer_; }
  const LengthDistribution& lengths() const { return lengths_; }
  /// Whether a text's last token is its end token and no other is: so it is where every example is one text.
  /// Where examples are cut from a stream of texts, the end token is one like the others; in a raw text there
  /// is none.
  bool ends_are_fixed() const { return ends_are_fixed_; }

 private:
  /// The file of a part; the built-in corpus is written where it is missing.
  std::filesystem::path file_of(const Settings& settings, Part part) const;
  std::vector<Request> gapped_requests(const SampleRequest& request) const;
  Request request_of(const Uses& uses, const SampleRequest& request, int64_t index) const;

  std::filesystem::path folder_;
  int64_t max_length_, max_source_length_;
  bool ends_are_fixed_, is_one_text_, pairs_;
  std::string label_field_;
  Annotation annotation_;
  Tokenizer tokenizer_;
  LengthDistribution lengths_;
  Labels labels_;
};

}  // namespace haze

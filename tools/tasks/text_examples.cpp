#include "haze/tools/tasks/text_examples.h"

#include <algorithm>
#include <numeric>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"

namespace haze {
namespace {

// The names of a record's classes; none where it lacks the field.
std::vector<std::string> label_names(const Record& record, const std::string& field) {
  std::vector<std::string> names;
  for (const Field& one : record.fields) {
    if (field == kAnyField) names.push_back(label_name(one));
    if (field == one.name) return {one.value};
  }
  return names;
}

}  // namespace

std::string label_name(const Field& field) {
  return fmt::format("{} : {}", field.name, field.value);
}

Labels Labels::of(const TextFile& file, const std::string& field) {
  Labels labels;
  for (int64_t i = 0; i < file.size(); ++i) {
    for (const std::string& name : label_names(file.record(i), field)) {
      if (std::find(labels.names_.begin(), labels.names_.end(), name) == labels.names_.end())
        labels.names_.push_back(name);
    }
  }
  if (labels.count() == 1)
    fail("{}: no line has a field '{}', which data.label names", file.path().string(), field);
  return labels;
}

Labels Labels::of_names(const std::vector<std::string>& names) {
  Labels labels;
  labels.names_.insert(labels.names_.end(), names.begin(), names.end());
  return labels;
}

int32_t Labels::called(const std::string& name, const std::string& what) const {
  const std::vector<std::string> names(names_.begin() + 1, names_.end());
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<int32_t>(found - names.begin() + 1);
  const std::string nearest = nearest_name(names, name);
  if (!nearest.empty()) fail("{}: there is no '{}'; did you mean '{}'?", what, name, nearest);
  fail("{}: there is no '{}'; there are {}", what, name, fmt::join(names, ", "));
}

std::vector<int32_t> Labels::of_record(const Record& record, const std::string& field,
                                       const std::string& where) const {
  std::vector<int32_t> classes;
  for (const std::string& name : label_names(record, field)) {
    const auto found = std::find(names_.begin(), names_.end(), name);
    if (found == names_.end()) {
      fail("{}: the {} '{}' does not occur in the training data", where, field == kAnyField ? "field" : field,
           name);
    }
    classes.push_back(static_cast<int32_t>(found - names_.begin()));
  }
  if (classes.empty()) classes.push_back(0);
  return classes;
}

std::string Labels::to_json() const {
  return nlohmann::json{{"labels", names_}}.dump() + '\n';
}

Labels Labels::from_json(const std::string& text, const std::string& source) {
  require_shallow(text, source);
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const nlohmann::json names = json.is_object() ? json.value("labels", nlohmann::json()) : nlohmann::json();
  const auto is_text = [](const nlohmann::json& name) { return name.is_string(); };
  if (!names.is_array() || names.empty() || !std::all_of(names.begin(), names.end(), is_text))
    fail("{}: not the labels of a haze model: \"labels\" must be a list of names", source);
  Labels labels;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto name = names[i].get<std::string>();
    const bool is_known = std::find(labels.names_.begin(), labels.names_.end(), name) != labels.names_.end();
    if (is_known != (i == 0)) fail("{}: label {} cannot be \"{}\"", source, i, name);
    if (i > 0) labels.names_.push_back(name);
  }
  return labels;
}

TextExamples::TextExamples(const TextFile& file, const Tokenizer& tokenizer, const Labels& labels,
                           const TextExampleOptions& options)
    : texts_(file, tokenizer, options.texts) {
  if (options.sources) source_offsets_.push_back(0);
  for (int64_t sequence = 0; sequence < texts_.size(); ++sequence) {
    if (options.sources && !add_source(file, tokenizer, sequence, options)) continue;
    if (options.label_field.empty()) {
      kept_.push_back(sequence);
      continue;
    }
    const int64_t number = texts_.record(sequence);
    for (const int32_t label :
         labels.of_record(file.record(number), options.label_field, file.location(number))) {
      kept_.push_back(sequence);
      labels_.push_back(label);
    }
  }
  if (kept_.empty()) {
    fail("{}: every source has more than data.max_source_length = {} tokens; raise data.max_source_length",
         file.path().string(), options.max_source_length);
  }
  if (options.annotation != Annotation::none) add_annotations(file, labels, options.annotation);
  if (options.spelling) {
    spelling_.emplace();
    for (int64_t i = 0; i < size(); ++i) spelling_->add(file.record(record(i)).target);
  }
}

void TextExamples::add_annotations(const TextFile& file, const Labels& labels, Annotation annotation) {
  const TextAnnotations annotations = TextAnnotations::read(file.path(), annotation, file.size());
  const auto class_of = [&](const std::string& name, int64_t record) {
    const auto found = std::find(labels.names().begin(), labels.names().end(), name);
    if (found == labels.names().end())
      fail("{}: '{}' does not occur in the training data", file.location(record), name);
    return static_cast<int32_t>(found - labels.names().begin());
  };
  for (int64_t i = 0; i < size(); ++i) {
    const int64_t number = record(i), words = annotations.words[static_cast<size_t>(number)];
    if (texts_.truncated_count() > 0 && std::ssize(text(i)) < words + 1)
      fail(
          "{}: the text has {} annotated words, and data.max_length cuts it; set data.too_long to \"skip\", "
          "or "
          "raise data.max_length",
          file.location(number), words);
    if (std::ssize(text(i)) != words + 1)
      fail("{}: the text has {} tokens, and {} words are annotated", file.location(number),
           text(i).size() - 1, words);
    if (annotation == Annotation::tags) {
      std::vector<int32_t>& tags = tags_.emplace_back();
      for (const std::string& tag : annotations.tags[static_cast<size_t>(number)])
        tags.push_back(class_of(tag, number));
      tags.push_back(0);
    } else {
      std::vector<LabelledSpan>& spans = spans_.emplace_back();
      for (const Constituent& span : annotations.spans[static_cast<size_t>(number)])
        spans.push_back({span.begin, span.end, class_of(span.label, number)});
    }
  }
}

bool TextExamples::add_source(const TextFile& file, const Tokenizer& tokenizer, int64_t sequence,
                              const TextExampleOptions& options) {
  const int64_t number = texts_.record(sequence);
  std::vector<int32_t> ids = tokenizer.encode(file.record(number).source);
  if (ids.empty()) fail("{}: the source is empty", file.location(number));
  if (std::ssize(ids) > options.max_source_length) {
    if (options.texts.too_long == LongRecord::error) {
      fail(
          "{}: the source has {} tokens, more than data.max_source_length = {}; raise "
          "data.max_source_length, or set data.too_long to \"truncate\" or \"skip\"",
          file.location(number), ids.size(), options.max_source_length);
    }
    cut_sources_ = true;
    if (options.texts.too_long == LongRecord::skip) return false;
    ids.resize(static_cast<size_t>(options.max_source_length));
  }
  source_ids_.insert(source_ids_.end(), ids.begin(), ids.end());
  source_offsets_.push_back(std::ssize(source_ids_));
  return true;
}

std::span<const int32_t> TextExamples::text(int64_t index) const {
  return texts_.sequence(kept_.at(static_cast<size_t>(index)));
}

std::span<const int32_t> TextExamples::source(int64_t index) const {
  const auto begin = static_cast<size_t>(source_offsets_.at(static_cast<size_t>(index)));
  const auto end = static_cast<size_t>(source_offsets_.at(static_cast<size_t>(index) + 1));
  return std::span(source_ids_).subspan(begin, end - begin);
}

int64_t TextExamples::rows(int64_t index) const {
  const auto length = std::ssize(text(index));
  return source_offsets_.empty() ? length : length + std::ssize(source(index));
}

Batch TextExamples::batch(std::span<const int64_t> indices) const {
  std::vector<std::span<const int32_t>> targets, sources;
  std::vector<int32_t> labels, tags;
  Batch batch;
  for (const int64_t index : indices) {
    targets.push_back(text(index));
    if (!source_offsets_.empty()) sources.push_back(source(index));
    const auto i = static_cast<size_t>(index);
    if (!labels_.empty()) labels.push_back(labels_[i]);
    if (!tags_.empty()) tags.insert(tags.end(), tags_[i].begin(), tags_[i].end());
    if (!spans_.empty()) batch.spans.push_back(spans_[i]);
  }
  batch.target = TextBatch::of(targets);
  if (!sources.empty()) batch.source = TextBatch::of(sources);
  if (!labels.empty()) batch.labels = Tensor::from(labels, {std::ssize(labels)});
  if (spelling_) batch.spelling = spelling_->of(indices);
  if (!tags.empty()) batch.tags = Tensor::from(tags, {std::ssize(tags)});
  return batch;
}

double TextExamples::unknown_share() const {
  return static_cast<double>(texts_.unknown_count()) / static_cast<double>(texts_.token_count());
}

bool TextExamples::holds_whole_records() const {
  return texts_.options().layout == Layout::padded && texts_.truncated_count() == 0 &&
         texts_.skipped_count() == 0 && !cut_sources_;
}

}  // namespace haze

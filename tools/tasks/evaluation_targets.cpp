#include "haze/tools/tasks/evaluation_targets.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "haze/engine/error.h"
#include "haze/engine/generator.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/tasks/target_file.h"

namespace haze {
namespace {

constexpr uint64_t kCorpusSeed = 1;  // that of the corpus that a run trains on by default

AnnotatedText annotated(const CorpusLine& line) {
  AnnotatedText text{
      .words = line.words, .tags = line.tags, .constituents = read_corpus_tree(line.tree).constituents};
  for (const auto& [name, value] : line.fields) text.fields.push_back({name, value});
  return text;
}

std::string names_of(const std::vector<ControlKind>& kinds) {
  std::vector<std::string> names;
  for (const ControlKind kind : kinds) names.push_back(control_name(kind));
  return fmt::format("{}", fmt::join(names, "+"));
}

/// Collects targets of texts that come one after another.
class TargetCollector {
 public:
  TargetCollector(const std::vector<ControlKind>& kinds, const Settings& settings)
      : kinds_(kinds),
        field_(settings.text("control.field")),
        most_words_(settings.integer("data.max_length") - 1),
        count_(settings.integer("control.targets")) {
    for (const ControlKind kind : kinds) choices_.emplace_back(kCorpusSeed, static_cast<uint64_t>(kind));
  }

  bool is_full() const { return std::ssize(targets_) == count_; }

  // Takes the properties of a text, where it has one of each kind.
  void add(AnnotatedText text) {
    if (is_full() || std::ssize(text.words) > most_words_) return;
    if (!field_.empty()) std::erase_if(text.fields, [&](const Field& one) { return one.name != field_; });
    WantedProperties wanted;
    for (size_t i = 0; i < kinds_.size(); ++i) {
      const uint64_t choice = choices_[i].below(uint64_t{1} << 32);
      if (const auto target = target_from(kinds_[i], text, choice)) wanted.push_back(*target);
    }
    if (wanted.size() == kinds_.size()) targets_.push_back(std::move(wanted));
  }

  // Throws Error where there are too few.
  std::vector<WantedProperties> taken(const std::string& origin) {
    if (!is_full()) {
      fail("{}: it has {} targets of the control {}, and control.targets asks for {}", origin,
           targets_.size(), names_of(kinds_), count_);
    }
    return std::move(targets_);
  }

 private:
  std::vector<ControlKind> kinds_;
  std::string field_;
  int64_t most_words_, count_;
  std::vector<Generator> choices_;  // of each kind, of a text's several fields or constituents
  std::vector<WantedProperties> targets_;
};

}  // namespace

std::vector<ControlKind> control_kinds_called(const std::string& word) {
  std::vector<ControlKind> kinds;
  for (size_t begin = 0; begin <= word.size();) {
    const size_t end = std::min(word.find('+', begin), word.size());
    const ControlKind kind = control_kind(word.substr(begin, end - begin));
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end())
      fail("control.kinds: {} has {} twice", word, control_name(kind));
    kinds.push_back(kind);
    if (kinds.size() > 2) fail("control.kinds: {} names more than two kinds", word);
    begin = end + 1;
  }
  return kinds;
}

std::vector<WantedProperties> evaluation_targets(const std::vector<ControlKind>& kinds,
                                                 const Settings& settings) {
  TargetCollector collector(kinds, settings);
  const std::string& file = settings.text("control.target_file");
  if (!file.empty()) {
    for (AnnotatedText& text : read_target_file(file)) collector.add(std::move(text));
    return collector.taken(file);
  }
  const auto most_texts = 1000 * static_cast<uint64_t>(settings.integer("control.targets"));
  for (uint64_t i = 0; i < most_texts && !collector.is_full(); ++i)
    collector.add(annotated(generate_line(kCorpusSeed, first_of_part(2) + i)));
  return collector.taken("the built-in corpus");
}

}  // namespace haze

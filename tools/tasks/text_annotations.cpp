#include "haze/tools/tasks/text_annotations.h"

#include <algorithm>
#include <fstream>
#include <set>

#include "haze/engine/error.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/text/text_format.h"

namespace haze {

Annotation annotation_of_task(const std::string& task) {
  if (task == "tagged") return Annotation::tags;
  if (task == "parsed") return Annotation::trees;
  return Annotation::none;
}

std::filesystem::path annotation_file(const std::filesystem::path& texts, Annotation annotation) {
  std::filesystem::path file = texts;
  return file.replace_extension(annotation == Annotation::tags ? ".tags" : ".trees");
}

std::vector<Constituent> with_joined_labels(const std::vector<Constituent>& constituents) {
  std::vector<Constituent> joined;
  for (const Constituent& one : constituents) {
    const auto same = std::find_if(joined.begin(), joined.end(), [&](const Constituent& other) {
      return other.begin == one.begin && other.end == one.end;
    });
    if (same == joined.end()) {
      joined.push_back(one);
    } else {
      same->label += '+' + one.label;
    }
  }
  return joined;
}

bool holds_label(const std::string& joined, const std::string& label) {
  return ('+' + joined + '+').find('+' + label + '+') != std::string::npos;
}

TextAnnotations TextAnnotations::read(const std::filesystem::path& texts, Annotation annotation,
                                      int64_t records) {
  const std::filesystem::path path = annotation_file(texts, annotation);
  std::ifstream file(path);
  if (!file) {
    fail("{}: cannot be read; the {} of {} stand in it, line by line", path.string(),
         annotation == Annotation::tags ? "tags" : "trees", texts.string());
  }
  TextAnnotations result;
  for (std::string line; std::getline(file, line);) {
    if (annotation == Annotation::tags) {
      result.tags.push_back(split_words(line));
      result.words.push_back(std::ssize(result.tags.back()));
      continue;
    }
    try {
      const BracketedText tree = read_brackets(line, constituent_labels());
      result.spans.push_back(with_joined_labels(tree.constituents));
      result.words.push_back(std::ssize(tree.words));
    } catch (const Error& error) {
      fail("{}:{}: {}", path.string(), result.words.size() + 1, error.what());
    }
  }
  if (std::ssize(result.words) != records) {
    fail("{} has {} lines, and {} has {} texts: they have to agree line by line", path.string(),
         result.words.size(), texts.string(), records);
  }
  return result;
}

std::vector<std::string> TextAnnotations::class_names() const {
  std::vector<std::string> names;
  std::set<std::string> known;
  const auto add = [&](const std::string& name) {
    if (known.insert(name).second) names.push_back(name);
  };
  for (const auto& of_text : tags) {
    for (const std::string& tag : of_text) add(tag);
  }
  for (const auto& of_text : spans) {
    for (const Constituent& span : of_text) add(span.label);
  }
  return names;
}

}  // namespace haze

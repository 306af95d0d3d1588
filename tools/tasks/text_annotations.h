#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "haze/diffusion/batch.h"
#include "haze/tools/text/constituents.h"

namespace haze {

/// The kinds of annotation that stand beside the texts of a file, line by line.
enum class Annotation {
  none,
  tags,   // in FILE.tags: one tag a word, with blanks between
  trees,  // in FILE.trees: a bracketed tree
};

/// That of the task "tagged" or "parsed"; none of others.
Annotation annotation_of_task(const std::string& task);

/// FILE.tags or FILE.trees of FILE.txt.
std::filesystem::path annotation_file(const std::filesystem::path& texts, Annotation annotation);

/// A class for each set of constituents of the same words: their labels from the outermost to the innermost,
/// such as S+VP (Stern et al. 2017, section 3).
std::vector<Constituent> with_joined_labels(const std::vector<Constituent>& constituents);
/// Whether the joined label holds the label, as S+VP holds VP.
bool holds_label(const std::string& joined, const std::string& label);

/// The annotations of a file, in the order of its records.
struct TextAnnotations {
  std::vector<std::vector<std::string>> tags;   // of each text
  std::vector<std::vector<Constituent>> spans;  // of each text, with joined labels
  std::vector<int64_t> words;                   // of each text

  /// Reads those of a file of `records` texts. Throws Error, naming file and line, where it is missing, has
  /// another number of lines, or a tree is damaged.
  static TextAnnotations read(const std::filesystem::path& texts, Annotation annotation, int64_t records);

  /// Every name of a class, in the order of its first occurrence.
  std::vector<std::string> class_names() const;
};

}  // namespace haze

#pragma once

#include <optional>
#include <string>
#include <vector>

#include "haze/tools/text/constituents.h"
#include "haze/tools/text/text_format.h"

namespace haze {

/// A property that a text is wanted to have: the controls of Li et al. 2022, section 6.1.
enum class ControlKind { semantic, pos, tree, span, length };

/// All of them, and the name of one: "semantic", "pos", "tree", "span", "length".
const std::vector<ControlKind>& control_kinds();
std::string control_name(ControlKind kind);
/// Throws Error for any other name.
ControlKind control_kind(const std::string& name);

/// One property. The part that `kind` names is filled in.
struct ControlTarget {
  ControlKind kind = ControlKind::length;
  Field semantic;                         // semantic: a field and its value, which the text says
  std::vector<std::string> tags;          // pos: universal part of speech of every word
  std::vector<Constituent> constituents;  // tree: all that there are; span: one that has to be there
  int64_t words = 0;                      // length, pos, tree: words of the text, without the end token

  /// The written form, in words with blanks between, for models that read a control before the text.
  /// Examples:
  ///   semantic food : Japanese | pos DET NOUN | tree ( S ( NP * * ) * ) | span 0 2 NP | length 12
  /// A span names its first and last word, counted from 0, as in the paper.
  std::string written() const;
};

/// A text with its properties, which may become targets.
struct AnnotatedText {
  std::vector<Field> fields;
  std::vector<std::string> words, tags;
  std::vector<Constituent> constituents;
};

/// A property that `text` has: of fields and constituents, number `choice` modulo their number. None where
/// the text has nothing of that kind.
std::optional<ControlTarget> target_from(ControlKind kind, const AnnotatedText& text, uint64_t choice);

}  // namespace haze

#pragma once

#include <string>
#include <vector>

#include "haze/tools/tasks/control_target.h"

namespace haze {

/// How far a text has the property that was wanted, in [0, 1], by code that knows no classifier (Li et al.
/// 2022, section 6.1). Tags and constituents are those of the built-in grammar (analyse_text()).
///   semantic  1 where the grammar finds the value, or its words stand in the text one after another. Words
///             do not count for fields whose values are codes (is_coded_field())
///   pos       the share of positions with the wanted tag, of the longer of text and target
///   tree      F1 of constituents with their labels
///   span      1 where the words are a constituent with that label
///   length    1 where the number of words is within 2
double control_success(const ControlTarget& target, const std::vector<std::string>& words);

/// The same of a text of any origin, whose grammar nobody knows: a value is said where its words stand one
/// after another, and `tags` are the words' parts of speech as a tagger finds them, for targets of the kind
/// pos. Throws Error for trees and spans, which only the built-in grammar finds.
double control_success_by_tags(const ControlTarget& target, const std::vector<std::string>& words,
                               const std::vector<std::string>& tags);

/// F1 of two lists of constituents, as multisets; 1 where both are empty.
double constituent_f1(const std::vector<Constituent>& found, const std::vector<Constituent>& wanted);

}  // namespace haze

#include "haze/tools/tasks/control_success.h"

#include <algorithm>
#include <cstdlib>

#include "haze/engine/error.h"
#include "haze/tools/corpus/corpus.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

bool holds_words(const std::vector<std::string>& words, const std::string& value) {
  const std::vector<std::string> wanted = split_words(value);
  return std::search(words.begin(), words.end(), wanted.begin(), wanted.end()) != words.end();
}

bool says(const std::vector<std::string>& words, const Field& field) {
  if (!is_coded_field(field.name) && holds_words(words, field.value)) return true;
  const auto fields = analyse_text(words).fields;
  return std::find(fields.begin(), fields.end(), std::pair(field.name, field.value)) != fields.end();
}

bool has_length(const std::vector<std::string>& words, const ControlTarget& target) {
  return std::abs(std::ssize(words) - target.words) <= 2;
}

double share_of_equal(const std::vector<std::string>& found, const std::vector<std::string>& wanted) {
  const size_t longer = std::max(found.size(), wanted.size());
  if (longer == 0) return 1;
  double equal = 0;
  for (size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) equal += found[i] == wanted[i];
  return equal / static_cast<double>(longer);
}

}  // namespace

double constituent_f1(const std::vector<Constituent>& found, const std::vector<Constituent>& wanted) {
  if (found.empty() && wanted.empty()) return 1;
  std::vector<Constituent> left = wanted;
  double both = 0;
  for (const Constituent& one : found) {
    const auto same = std::find(left.begin(), left.end(), one);
    if (same == left.end()) continue;
    left.erase(same);
    ++both;
  }
  return 2 * both / static_cast<double>(found.size() + wanted.size());
}

double control_success_by_tags(const ControlTarget& target, const std::vector<std::string>& words,
                               const std::vector<std::string>& tags) {
  switch (target.kind) {
    case ControlKind::semantic:
      return holds_words(words, target.semantic.value) ? 1 : 0;
    case ControlKind::pos:
      return share_of_equal(tags, target.tags);
    case ControlKind::length:
      return has_length(words, target) ? 1 : 0;
    case ControlKind::tree:
    case ControlKind::span:
      break;
  }
  fail("the control {}: only the built-in grammar finds it, so targets are texts of the built-in corpus",
       control_name(target.kind));
}

double control_success(const ControlTarget& target, const std::vector<std::string>& words) {
  switch (target.kind) {
    case ControlKind::semantic:
      return says(words, target.semantic) ? 1 : 0;
    case ControlKind::length:
      return has_length(words, target) ? 1 : 0;
    case ControlKind::pos:
      return share_of_equal(analyse_text(words).tags, target.tags);
    case ControlKind::tree:
      return constituent_f1(analyse_text(words).constituents, target.constituents);
    case ControlKind::span: {
      const std::vector<Constituent> found = analyse_text(words).constituents;
      return std::find(found.begin(), found.end(), target.constituents.at(0)) != found.end() ? 1 : 0;
    }
  }
  fail("there is no control {}", static_cast<int>(target.kind));
}

}  // namespace haze

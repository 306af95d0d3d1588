#include "haze/tools/tasks/control_success.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <sstream>

#include "haze/engine/error.h"
#include "haze/tools/corpus/corpus.h"

namespace haze {
namespace {

bool holds_words(const std::vector<std::string>& words, const std::string& value) {
  std::istringstream stream(value);
  const std::vector<std::string> wanted{std::istream_iterator<std::string>(stream), {}};
  return std::search(words.begin(), words.end(), wanted.begin(), wanted.end()) != words.end();
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

double control_success(const ControlTarget& target, const std::vector<std::string>& words) {
  switch (target.kind) {
    case ControlKind::semantic:
      return holds_words(words, target.semantic.value) ? 1 : 0;
    case ControlKind::length:
      return std::abs(std::ssize(words) - target.words) <= 2 ? 1 : 0;
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

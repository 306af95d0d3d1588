#include "haze/tools/tasks/control_target.h"

#include <utility>

#include <fmt/ranges.h>

#include "haze/engine/error.h"

namespace haze {
namespace {

constexpr std::pair<ControlKind, const char*> kNames[] = {{ControlKind::semantic, "semantic"},
                                                          {ControlKind::pos, "pos"},
                                                          {ControlKind::tree, "tree"},
                                                          {ControlKind::span, "span"},
                                                          {ControlKind::length, "length"}};

}  // namespace

const std::vector<ControlKind>& control_kinds() {
  static const std::vector<ControlKind> kinds = [] {
    std::vector<ControlKind> result;
    for (const auto& [kind, name] : kNames) result.push_back(kind);
    return result;
  }();
  return kinds;
}

std::string control_name(ControlKind kind) {
  for (const auto& [one, name] : kNames) {
    if (one == kind) return name;
  }
  fail("there is no control {}", static_cast<int>(kind));
}

ControlKind control_kind(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [kind, one] : kNames) {
    if (name == one) return kind;
    known.emplace_back(one);
  }
  fail("there is no control '{}'; there are {}", name, fmt::join(known, ", "));
}

std::string ControlTarget::written() const {
  switch (kind) {
    case ControlKind::semantic:
      return fmt::format("semantic {} : {}", semantic.name, semantic.value);
    case ControlKind::pos:
      return fmt::format("pos {}", fmt::join(tags, " "));
    case ControlKind::tree:
      return fmt::format("tree {}", written_brackets(constituents, words));
    case ControlKind::span: {
      const Constituent& span = constituents.at(0);
      return fmt::format("span {} {} {}", span.begin, span.end - 1, span.label);
    }
    case ControlKind::length:
      return fmt::format("length {}", words);
  }
  fail("there is no control {}", static_cast<int>(kind));
}

std::optional<ControlTarget> target_from(ControlKind kind, const AnnotatedText& text, uint64_t choice) {
  ControlTarget target{.kind = kind, .words = std::ssize(text.words)};
  switch (kind) {
    case ControlKind::semantic:
      if (text.fields.empty()) return {};
      target.semantic = text.fields[choice % text.fields.size()];
      break;
    case ControlKind::pos:
      if (text.tags.empty()) return {};
      target.tags = text.tags;
      break;
    case ControlKind::tree:
      if (text.constituents.empty()) return {};
      target.constituents = text.constituents;
      break;
    case ControlKind::span:
      if (text.constituents.empty()) return {};
      target.constituents = {text.constituents[choice % text.constituents.size()]};
      break;
    case ControlKind::length:
      if (text.words.empty()) return {};
      break;
  }
  return target;
}

}  // namespace haze

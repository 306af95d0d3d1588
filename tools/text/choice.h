#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "haze/engine/error.h"

namespace haze {

/// One value of a setting and the name it has in a configuration.
template <typename Value>
struct Choice {
  std::string_view name;
  Value value;
};

/// The value that has `name`. Throws Error naming the setting and every name it takes where none has it.
template <typename Value, size_t count>
Value choose(std::string_view setting, std::string_view name,
             const std::array<Choice<Value>, count>& choices) {
  std::string names;
  for (const auto& choice : choices) {
    if (choice.name == name) return choice.value;
    names += fmt::format("{}\"{}\"", names.empty() ? "" : ", ", choice.name);
  }
  fail("{} is \"{}\", but must be one of {}", setting, name, names);
}

/// Every name, in the order of the choices.
template <typename Value, size_t count>
std::vector<std::string> choice_names(const std::array<Choice<Value>, count>& choices) {
  std::vector<std::string> names;
  for (const auto& choice : choices) names.emplace_back(choice.name);
  return names;
}

/// The name that `value` has in a configuration; `choices` holds every value.
template <typename Value, size_t count>
std::string_view choice_name(Value value, const std::array<Choice<Value>, count>& choices) {
  for (const auto& choice : choices) {
    if (choice.value == value) return choice.name;
  }
  fail("a setting has a value without a name");
}

}  // namespace haze

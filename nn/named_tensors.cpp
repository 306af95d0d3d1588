#include "haze/nn/named_tensors.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include <fmt/ranges.h>

namespace haze {
namespace {

bool fits(const Tensor& target, const Tensor& source) {
  const bool convertible = is_floating(target.dtype()) && is_floating(source.dtype());
  return target.shape() == source.shape() && (target.dtype() == source.dtype() || convertible);
}

std::string misfit(const NamedTensor& target, const Tensor& source) {
  return fmt::format("{} ({} {}, not {} {})", target.name, name(source.dtype()), source.shape().to_string(),
                     name(target.tensor.dtype()), target.tensor.shape().to_string());
}

using TensorsByName = std::unordered_map<std::string_view, const Tensor*>;

/// The first tensor of each name.
TensorsByName by_name(const NamedTensors& tensors) {
  TensorsByName result;
  for (const auto& [name, tensor] : tensors) result.emplace(name, &tensor);
  return result;
}

}  // namespace

std::string name_list(std::vector<std::string> names) {
  constexpr size_t kShown = 10;
  if (names.size() <= kShown) return fmt::format("{}", fmt::join(names, ", "));
  const size_t rest = names.size() - kShown;
  names.resize(kShown);
  return fmt::format("{} and {} more", fmt::join(names, ", "), rest);
}

NamedTensors parameter_tensors(Module& module) {
  NamedTensors tensors;
  for (const auto& [name, variable] : module.parameters()) tensors.push_back({name, variable->value()});
  return tensors;
}

NamedTensors state_tensors(Module& module) {
  NamedTensors tensors = parameter_tensors(module);
  for (const auto& [name, tensor] : module.buffers()) tensors.push_back({name, *tensor});
  return tensors;
}

NameDifference copy_by_name(const NamedTensors& targets, const NamedTensors& sources, bool strict,
                            std::string_view source_name) {
  const TensorsByName source_of = by_name(sources);
  NameDifference difference;
  std::vector<std::string> misfits;
  std::unordered_set<std::string_view> wanted;
  for (const auto& target : targets) {
    wanted.insert(target.name);
    const auto found = source_of.find(target.name);
    if (found == source_of.end()) {
      difference.missing.push_back(target.name);
    } else if (!fits(target.tensor, *found->second)) {
      misfits.push_back(misfit(target, *found->second));
    }
  }
  for (const auto& source : sources) {
    if (!wanted.contains(source.name)) difference.unexpected.push_back(source.name);
  }

  std::vector<std::string> complaints;
  if (strict && !difference.missing.empty())
    complaints.push_back("it lacks " + name_list(difference.missing));
  if (strict && !difference.unexpected.empty()) {
    complaints.push_back("nothing takes its " + name_list(difference.unexpected));
  }
  if (!misfits.empty()) complaints.push_back("it has other shapes or types of " + name_list(misfits));
  if (!complaints.empty()) fail("{} does not fit: {}", source_name, fmt::join(complaints, "; "));

  for (const auto& target : targets) {
    const auto found = source_of.find(target.name);
    if (found != source_of.end()) copy_into(target.tensor, to(*found->second, target.tensor.device()));
  }
  return difference;
}

NameMatch copy_matching(const NamedTensors& targets, const NamedTensors& sources) {
  const TensorsByName source_of = by_name(sources);
  NameMatch match;
  for (const auto& target : targets) {
    const auto found = source_of.find(target.name);
    if (found == source_of.end()) {
      match.missing.push_back(target.name);
    } else if (!fits(target.tensor, *found->second)) {
      match.other_shape.push_back(target.name);
    } else {
      copy_into(target.tensor, to(*found->second, target.tensor.device()));
      match.taken.push_back(target.name);
    }
  }
  return match;
}

}  // namespace haze

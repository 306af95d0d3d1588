#include "haze/nn/module.h"

#include <unordered_set>

namespace haze {

void Module::add_parameter(std::string name, Variable& parameter, Tensor value) {
  parameter = Variable::leaf(std::move(value));
  parameters_.emplace_back(std::move(name), &parameter);
}

void Module::tie_parameter(std::string name, Variable& parameter) {
  parameters_.emplace_back(std::move(name), &parameter);
}

void Module::add_module(std::string name, Module& child) {
  children_.emplace_back(std::move(name), &child);
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>& result) {
  for (auto& [name, variable] : parameters_) result.push_back({prefix + name, variable});
  for (auto& [name, child] : children_) {
    child->collect(name.empty() ? prefix : prefix + name + ".", result);
  }
}

std::vector<NamedParameter> Module::parameters() {
  std::vector<NamedParameter> all, result;
  collect("", all);
  std::unordered_set<const Variable*> listed;
  for (NamedParameter& parameter : all) {
    if (listed.insert(parameter.variable).second) result.push_back(std::move(parameter));
  }
  return result;
}

int64_t Module::parameter_count() {
  int64_t count = 0;
  for (const auto& parameter : parameters()) count += parameter.variable->value().elements();
  return count;
}

void Module::clear_gradients() {
  for (const auto& parameter : parameters()) parameter.variable->clear_gradient();
}

void Module::to(Dtype dtype) {
  for (const auto& parameter : parameters()) {
    *parameter.variable = Variable::leaf(cast(parameter.variable->value(), dtype));
  }
}

}  // namespace haze

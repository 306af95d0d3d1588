#include "haze/nn/module.h"

#include <algorithm>
#include <unordered_set>

namespace haze {
namespace {

// Without the entries whose `member` an earlier entry has.
template <typename Named, typename Member>
std::vector<Named> each_once(std::vector<Named> all, Member Named::*member) {
  std::unordered_set<Member> listed;
  std::erase_if(all, [&](const Named& entry) { return !listed.insert(entry.*member).second; });
  return all;
}

}  // namespace

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

void Module::add_buffer(std::string name, Tensor& buffer, Tensor value) {
  if (!value.defined()) fail("module: buffer {} has no first value", name);
  buffer = std::move(value);
  buffers_.emplace_back(std::move(name), &buffer);
}

void Module::add_host_buffer(std::string name, Tensor& buffer, Tensor value) {
  add_buffer(std::move(name), buffer, std::move(value));
  host_buffers_.push_back(&buffer);
}

void Module::collect(const std::string& prefix, std::vector<NamedParameter>& parameters,
                     std::vector<NamedBuffer>& buffers) {
  for (auto& [name, variable] : parameters_) parameters.push_back({prefix + name, variable});
  for (auto& [name, tensor] : buffers_) buffers.push_back({prefix + name, tensor});
  for (auto& [name, child] : children_) {
    child->collect(name.empty() ? prefix : prefix + name + ".", parameters, buffers);
  }
}

std::vector<NamedParameter> Module::parameters() {
  std::vector<NamedParameter> parameters;
  std::vector<NamedBuffer> buffers;
  collect("", parameters, buffers);
  return each_once(std::move(parameters), &NamedParameter::variable);
}

std::vector<NamedBuffer> Module::buffers() {
  std::vector<NamedParameter> parameters;
  std::vector<NamedBuffer> buffers;
  collect("", parameters, buffers);
  return each_once(std::move(buffers), &NamedBuffer::tensor);
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
  for (const auto& buffer : buffers()) {
    if (is_floating(buffer.tensor->dtype())) *buffer.tensor = cast(*buffer.tensor, dtype);
  }
}

void Module::to(Device device) {
  for (auto& [name, variable] : parameters_) *variable = Variable::leaf(haze::to(variable->value(), device));
  for (auto& [name, tensor] : buffers_) {
    const bool stays = std::find(host_buffers_.begin(), host_buffers_.end(), tensor) != host_buffers_.end();
    if (!stays) *tensor = haze::to(*tensor, device);
  }
  for (Tensor* constant : constants_) {
    if (constant->defined()) *constant = haze::to(*constant, device);
  }
  for (auto& [name, child] : children_) child->to(device);
}

Device Module::device() const {
  if (!parameters_.empty()) return parameters_.front().second->value().device();
  for (const auto& [name, child] : children_) {
    if (const Device device = child->device(); device != Device::cpu) return device;
  }
  return Device::cpu;
}

}  // namespace haze

#include "haze/nn/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "haze/nn/hyperparameters.h"

namespace haze {
namespace {

void check_occur_once(const std::vector<ParameterGroup>& groups) {
  std::set<std::string_view> names;
  std::set<const Variable*> variables;
  for (const ParameterGroup& group : groups) {
    for (const auto& [name, variable] : group.parameters) {
      const bool is_new = names.insert(name).second && variables.insert(variable).second;
      if (!is_new) fail("the optimizer gets the parameter {} twice", name);
    }
  }
}

std::vector<ParameterGroup> one_group(std::vector<NamedParameter> parameters) {
  std::vector<ParameterGroup> groups(1);
  groups[0].parameters = std::move(parameters);
  return groups;
}

}  // namespace

Optimizer::Optimizer(const std::vector<ParameterGroup>& groups, double weight_decay) {
  check_occur_once(groups);
  for (const ParameterGroup& group : groups) {
    check_not_negative(group.rate, "the rate of a group of parameters", Dtype::float64);
    const double decay = group.weight_decay.value_or(weight_decay);
    for (const NamedParameter& parameter : group.parameters) {
      check_weight_decay(decay, "the optimizer's weight decay", parameter.variable->value().dtype());
      if (group.rate > 0) entries_.push_back({parameter, group.rate, decay});
    }
  }
  check_weight_decay(weight_decay, "the optimizer's weight decay", narrowest_dtype());
}

void Optimizer::step(double learning_rate, double gradient_scale) {
  if (!std::isfinite(gradient_scale)) fail("the optimizer's gradient scale is {}", gradient_scale);
  check_not_negative(std::abs(gradient_scale), "the optimizer's gradient scale", narrowest_dtype());
  update(checked_indices(learning_rate), learning_rate, {.number = gradient_scale});
}

void Optimizer::step(double learning_rate, const Tensor& gradient_scale) {
  const bool real = gradient_scale.dtype() == Dtype::float32 || gradient_scale.dtype() == Dtype::float64;
  if (!gradient_scale.defined() || gradient_scale.rank() != 0 || !real) {
    fail("the optimizer's gradient scale is {}, not one real number", to_string(gradient_scale));
  }
  update(checked_indices(learning_rate), learning_rate, {.device = gradient_scale});
}

std::vector<size_t> Optimizer::checked_indices(double learning_rate) const {
  const Dtype dtype = narrowest_dtype();
  constexpr std::string_view kLearningRate = "the optimizer's learning rate";
  check_not_negative(learning_rate, kLearningRate, Dtype::float64);
  std::vector<size_t> indices;
  for (size_t i = 0; i < entries_.size(); ++i) {
    check_not_negative(learning_rate * rate(i), kLearningRate, dtype);
    if (entries_[i].parameter.variable->gradient().defined()) indices.push_back(i);
  }
  return indices;
}

Tensor Optimizer::GradientScale::times(const Tensor& gradient) const {
  const double factor = device.defined() ? device.item() : number;
  if (!std::isfinite(factor)) fail("the optimizer's gradient scale is {}", factor);
  return scale_shift(gradient, factor, 0);
}

void Optimizer::load_state(const NamedTensors& state, std::string_view source_name) {
  copy_by_name(state_, state, true, source_name);
}

void Optimizer::decay(size_t index, double learning_rate) const {
  if (!decays(index)) return;
  copy_into(value(index), scale_shift(value(index), 1 - learning_rate * weight_decay(index), 0));
}

Dtype Optimizer::narrowest_dtype() const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (value(i).dtype() != Dtype::float64) return Dtype::float32;
  }
  return Dtype::float64;
}

Tensor Optimizer::add_state(size_t index, std::string_view name, Tensor initial) {
  state_.push_back({fmt::format("{}.{}", entries_[index].parameter.name, name), initial});
  return initial;
}

AdamW::AdamW(std::vector<NamedParameter> parameters, const AdamWHyperparameters& hyperparameters)
    : AdamW(one_group(std::move(parameters)), hyperparameters) {}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, const AdamWHyperparameters& hyperparameters)
    : Optimizer(groups, hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  const Dtype dtype = narrowest_dtype();
  check_fraction(hyperparameters.beta1, "AdamW's beta1", dtype);
  check_fraction(hyperparameters.beta2, "AdamW's beta2", dtype);
  check_denominator(hyperparameters.epsilon, "AdamW's epsilon", dtype);
  for (size_t i = 0; i < parameter_count(); ++i) {
    slots_.push_back({.first_moment = add_state(i, "first_moment", zeros_like(value(i))),
                      .second_moment = add_state(i, "second_moment", zeros_like(value(i))),
                      .steps = add_state(i, "steps", zeros({}, Dtype::int32))});
  }
}

void AdamW::update(std::span<const size_t> indices, double learning_rate, const GradientScale& scale) {
  // One fused call for all that share a step, a rate and a weight decay.
  std::map<std::tuple<int32_t, double, double>, std::vector<AdamWSlot>> calls;
  for (const size_t i : indices) {
    const Slot& slot = slots_[i];
    const int32_t step = *slot.steps.data<int32_t>() + 1;
    calls[{step, rate(i), weight_decay(i)}].push_back({.parameter = value(i),
                                                       .gradient = gradient(i),
                                                       .first_moment = slot.first_moment,
                                                       .second_moment = slot.second_moment,
                                                       .decay = decays(i)});
  }
  for (const auto& [key, slots] : calls) {
    const auto [step, rate, weight_decay] = key;
    adamw_step(slots, {.learning_rate = learning_rate * rate,
                       .beta1 = hyperparameters_.beta1,
                       .beta2 = hyperparameters_.beta2,
                       .epsilon = hyperparameters_.epsilon,
                       .weight_decay = weight_decay,
                       .gradient_scale = scale.number,
                       .step = step,
                       .device_gradient_scale = scale.device});
  }
  for (const size_t i : indices) ++*slots_[i].steps.data<int32_t>();
}

Adagrad::Adagrad(std::vector<NamedParameter> parameters, const AdagradHyperparameters& hyperparameters)
    : Adagrad(one_group(std::move(parameters)), hyperparameters) {}

Adagrad::Adagrad(const std::vector<ParameterGroup>& groups, const AdagradHyperparameters& hyperparameters)
    : Optimizer(groups, hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  check_denominator(hyperparameters.epsilon, "Adagrad's epsilon", narrowest_dtype());
  check_not_negative(hyperparameters.initial_sum, "Adagrad's initial_sum", narrowest_dtype());
  for (size_t i = 0; i < parameter_count(); ++i) {
    Tensor sum = full_like(value(i), hyperparameters.initial_sum);
    sums_.push_back(add_state(i, "sum_of_squares", std::move(sum)));
  }
}

void Adagrad::update(std::span<const size_t> indices, double learning_rate, const GradientScale& scale) {
  for (const size_t i : indices) {
    const Tensor g = scale.times(gradient(i));
    add_into(sums_[i], unary(UnaryOp::square, g));
    decay(i, learning_rate * rate(i));
    const Tensor root = scale_shift(unary(UnaryOp::sqrt, sums_[i]), 1, hyperparameters_.epsilon);
    add_into(value(i), scale_shift(divide(g, root), -learning_rate * rate(i), 0));
  }
}

Sgd::Sgd(std::vector<NamedParameter> parameters, const SgdHyperparameters& hyperparameters)
    : Sgd(one_group(std::move(parameters)), hyperparameters) {}

Sgd::Sgd(const std::vector<ParameterGroup>& groups, const SgdHyperparameters& hyperparameters)
    : Optimizer(groups, hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  check_fraction(hyperparameters.momentum, "the momentum of SGD", narrowest_dtype());
  if (hyperparameters.momentum == 0) return;
  for (size_t i = 0; i < parameter_count(); ++i) {
    velocities_.push_back(add_state(i, "velocity", zeros_like(value(i))));
  }
}

void Sgd::update(std::span<const size_t> indices, double learning_rate, const GradientScale& scale) {
  for (const size_t i : indices) {
    Tensor direction = scale.times(gradient(i));
    if (!velocities_.empty()) {
      add_into(direction, scale_shift(velocities_[i], hyperparameters_.momentum, 0));
      copy_into(velocities_[i], direction);
    }
    decay(i, learning_rate * rate(i));
    add_into(value(i), scale_shift(direction, -learning_rate * rate(i), 0));
  }
}

namespace {

std::vector<Tensor> gradients_of(const std::vector<NamedParameter>& parameters) {
  std::vector<Tensor> gradients;
  for (const auto& parameter : parameters) {
    if (parameter.variable->gradient().defined()) gradients.push_back(parameter.variable->gradient());
  }
  return gradients;
}

std::vector<NamedParameter> trained(const std::vector<ParameterGroup>& groups) {
  std::vector<NamedParameter> result;
  for (const ParameterGroup& group : groups) {
    if (group.rate == 0) continue;
    result.insert(result.end(), group.parameters.begin(), group.parameters.end());
  }
  return result;
}

}  // namespace

double clip_scale(const std::vector<NamedParameter>& parameters, double max_norm, double* norm,
                  double gradient_scale) {
  if (!(max_norm >= 0)) fail("the largest gradient norm must not be negative, got {}", max_norm);
  check_not_negative(gradient_scale, "the gradients' scale", Dtype::float64);
  const std::vector<Tensor> gradients = gradients_of(parameters);
  const double total = gradient_scale * global_norm(gradients);
  if (norm) *norm = total;
  if (!std::isfinite(total)) {
    for (const auto& [name, variable] : parameters) {
      if (variable->gradient().defined() && !all_finite(variable->gradient())) {
        fail("the norm of the gradients is {}: the gradient of {} holds a number that is not finite", total,
             name);
      }
    }
    fail("the norm of the gradients is {}, though each of their numbers is finite", total);
  }
  return gradient_scale * (max_norm == 0 ? 1 : std::min(1.0, max_norm / (total + 1e-6)));
}

double clip_scale(const std::vector<ParameterGroup>& groups, double max_norm, double* norm,
                  double gradient_scale) {
  return clip_scale(trained(groups), max_norm, norm, gradient_scale);
}

Tensor device_clip_scale(const std::vector<ParameterGroup>& groups, double max_norm, double gradient_scale) {
  const std::vector<Tensor> gradients = gradients_of(trained(groups));
  if (gradients.empty()) fail("device_clip_scale: no parameter has a gradient");
  return device_clip_scale(device_global_norm(gradients), max_norm, gradient_scale);
}

}  // namespace haze

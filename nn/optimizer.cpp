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

void check_one_number(std::string_view what, const Tensor& x) {
  const bool real = x.dtype() == Dtype::float32 || x.dtype() == Dtype::float64;
  if (!x.defined() || x.rank() != 0 || !real)
    fail("the optimizer's {} is {}, not one real number", what, to_string(x));
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
  check_learning_rate(learning_rate);
  update(indices_with_gradients(), {learning_rate}, {gradient_scale});
}

void Optimizer::step(double learning_rate, const Tensor& gradient_scale) {
  check_one_number("gradient scale", gradient_scale);
  check_learning_rate(learning_rate);
  update(indices_with_gradients(), {learning_rate}, {.device = gradient_scale});
}

void Optimizer::step(const Tensor& learning_rate, const Tensor& gradient_scale) {
  check_one_number("learning rate", learning_rate);
  check_one_number("gradient scale", gradient_scale);
  update(indices_with_gradients(), {.device = learning_rate}, {.device = gradient_scale});
}

void Optimizer::check_learning_rate(double learning_rate) const {
  const Dtype dtype = narrowest_dtype();
  constexpr std::string_view kLearningRate = "the optimizer's learning rate";
  check_not_negative(learning_rate, kLearningRate, Dtype::float64);
  for (size_t i = 0; i < entries_.size(); ++i)
    check_not_negative(learning_rate * rate(i), kLearningRate, dtype);
}

std::vector<size_t> Optimizer::indices_with_gradients() const {
  std::vector<size_t> indices;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].parameter.variable->gradient().defined()) indices.push_back(i);
  }
  return indices;
}

Optimizer::Number Optimizer::Number::scaled(double factor, double shift) const {
  if (!device.defined()) return {host * factor + shift};
  if (factor == 1 && shift == 0) return *this;
  return {.device = scale_shift(cast(device, Dtype::float64), factor, shift)};
}

Tensor Optimizer::Number::times(const Tensor& x) const {
  return device.defined() ? multiply(x, cast(device, x.dtype())) : scale_shift(x, host, 0);
}

Tensor Optimizer::Number::is_finite() const {
  return compare(CompareOp::equal, subtract(device, device),
                 zeros_like(device));  // infinity - infinity is NaN
}

void Optimizer::load_state(const NamedTensors& state, std::string_view source_name) {
  copy_by_name(state_, state, true, source_name);
  state_changed();
}

Tensor Optimizer::decayed(size_t index, const Number& learning_rate) const {
  if (!decays(index)) return value(index);
  return learning_rate.scaled(-weight_decay(index), 1).times(value(index));
}

void Optimizer::assign(const Tensor& target, const Tensor& next, const Number& scale) {
  copy_into(target, scale.device.defined() ? where(scale.is_finite(), next, target) : next);
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
  const auto count = static_cast<int64_t>(parameter_count());
  steps_ = zeros({count}, Dtype::int32, count > 0 ? value(0).device() : Device::cpu);
  for (size_t i = 0; i < parameter_count(); ++i) {
    const auto at = static_cast<int64_t>(i);
    slots_.push_back({.first_moment = add_state(i, "first_moment", zeros_like(value(i))),
                      .second_moment = add_state(i, "second_moment", zeros_like(value(i))),
                      .steps = add_state(i, "steps", reshape(slice(steps_, 0, at, at + 1), {}))});
  }
  histories_.resize(parameter_count());
  next_history_ = 1;
}

const std::vector<int32_t>& AdamW::histories() {
  if (histories_known_) return histories_;
  // A state that was loaded is read once: equal numbers of steps are equal histories.
  histories_ = steps_.to_vector<int32_t>();
  next_history_ = histories_.empty() ? 0 : *std::max_element(histories_.begin(), histories_.end()) + 1;
  histories_known_ = true;
  return histories_;
}

void AdamW::count_step(std::span<const size_t> indices, const Number& scale) {
  const Tensor one = scale.device.defined() ? cast(scale.is_finite(), Dtype::int32)
                                            : full({}, 1, Dtype::int32, steps_.device());
  const auto count = [&](const Tensor& steps) { copy_into(steps, add(steps, one)); };
  if (indices.size() == slots_.size()) {
    count(steps_);
  } else {
    for (const size_t i : indices) count(slots_[i].steps);
    // Those that take this step differ from those that do not from here on.
    std::map<int32_t, int32_t> renamed;
    for (const size_t i : indices) {
      const auto [entry, is_new] = renamed.try_emplace(histories_[i], next_history_);
      if (is_new) ++next_history_;
      histories_[i] = entry->second;
    }
  }
}

void AdamW::update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) {
  // One fused call for all that share their steps, a rate and a weight decay.
  std::map<std::tuple<int32_t, double, double>, std::vector<size_t>> calls;
  const std::vector<int32_t>& history = histories();
  for (const size_t i : indices) calls[{history[i], rate(i), weight_decay(i)}].push_back(i);
  count_step(indices, scale);
  for (const auto& [key, members] : calls) {
    std::vector<AdamWSlot> slots;
    for (const size_t i : members) {
      slots.push_back({.parameter = value(i),
                       .gradient = gradient(i),
                       .first_moment = slots_[i].first_moment,
                       .second_moment = slots_[i].second_moment,
                       .decay = decays(i)});
    }
    const Number own_rate = learning_rate.scaled(rate(members.front()));
    adamw_step(slots, {.learning_rate = own_rate.host,
                       .beta1 = hyperparameters_.beta1,
                       .beta2 = hyperparameters_.beta2,
                       .epsilon = hyperparameters_.epsilon,
                       .weight_decay = weight_decay(members.front()),
                       .gradient_scale = scale.host,
                       .device_learning_rate = own_rate.device,
                       .device_gradient_scale = scale.device,
                       .device_step = slots_[members.front()].steps});
  }
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

void Adagrad::update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) {
  for (const size_t i : indices) {
    const Number own_rate = learning_rate.scaled(rate(i));
    const Tensor g = scale.times(gradient(i));
    const Tensor sum = add(sums_[i], unary(UnaryOp::square, g));
    const Tensor root = scale_shift(unary(UnaryOp::sqrt, sum), 1, hyperparameters_.epsilon);
    assign(sums_[i], sum, scale);
    assign(value(i), add(decayed(i, own_rate), own_rate.scaled(-1).times(divide(g, root))), scale);
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

void Sgd::update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) {
  for (const size_t i : indices) {
    const Number own_rate = learning_rate.scaled(rate(i));
    Tensor direction = scale.times(gradient(i));
    if (!velocities_.empty()) {
      add_into(direction, scale_shift(velocities_[i], hyperparameters_.momentum, 0));
      assign(velocities_[i], direction, scale);
    }
    assign(value(i), add(decayed(i, own_rate), own_rate.scaled(-1).times(direction)), scale);
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

Tensor device_clip_scale(const std::vector<ParameterGroup>& groups, double max_norm, double gradient_scale,
                         Tensor* norm) {
  const std::vector<Tensor> gradients = gradients_of(trained(groups));
  if (gradients.empty()) fail("device_clip_scale: no parameter has a gradient");
  const Tensor unscaled = device_global_norm(gradients);
  if (norm) *norm = scale_shift(unscaled, gradient_scale, 0);
  return device_clip_scale(unscaled, max_norm, gradient_scale);
}

}  // namespace haze

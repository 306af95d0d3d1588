#include "haze/nn/optimizer.h"

#include <cmath>
#include <map>

namespace haze {
namespace {

void check_fraction(double value, const char* what) {
  if (!(value >= 0 && value < 1)) fail("{} must lie in [0, 1), got {}", what, value);
}

void check_positive(double value, const char* what) {
  if (!(value > 0)) fail("{} must be positive, got {}", what, value);
}

void check_not_negative(double value, const char* what) {
  if (!(value >= 0)) fail("{} must not be negative, got {}", what, value);
}

Tensor zeros_like(const Tensor& tensor) {
  return zeros(tensor.shape(), tensor.dtype());
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedParameter> parameters, double weight_decay)
    : parameters_(std::move(parameters)), weight_decay_(weight_decay) {
  check_not_negative(weight_decay, "the optimizer's weight decay");
}

void Optimizer::step(double learning_rate, double gradient_scale) {
  if (!(learning_rate >= 0) || !std::isfinite(learning_rate)) {
    fail("the optimizer's learning rate must be finite and not negative, got {}", learning_rate);
  }
  if (!std::isfinite(gradient_scale)) fail("the optimizer's gradient scale is {}", gradient_scale);
  std::vector<size_t> indices;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].variable->gradient().defined()) indices.push_back(i);
  }
  update(indices, learning_rate, gradient_scale);
}

void Optimizer::load_state(const NamedTensors& state, std::string_view source_name) {
  copy_by_name(state_, state, true, source_name);
}

void Optimizer::decay(size_t index, double learning_rate) const {
  if (!decays(index)) return;
  copy_into(value(index), scale_shift(value(index), 1 - learning_rate * weight_decay_, 0));
}

Tensor Optimizer::add_state(size_t index, std::string_view name, Tensor initial) {
  state_.push_back({fmt::format("{}.{}", parameters_[index].name, name), initial});
  return initial;
}

AdamW::AdamW(std::vector<NamedParameter> parameters, const AdamWHyperparameters& hyperparameters)
    : Optimizer(std::move(parameters), hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  check_fraction(hyperparameters.beta1, "AdamW's beta1");
  check_fraction(hyperparameters.beta2, "AdamW's beta2");
  check_positive(hyperparameters.epsilon, "AdamW's epsilon");
  for (size_t i = 0; i < parameter_count(); ++i) {
    slots_.push_back({.first_moment = add_state(i, "first_moment", zeros_like(value(i))),
                      .second_moment = add_state(i, "second_moment", zeros_like(value(i))),
                      .steps = add_state(i, "steps", zeros({}, Dtype::int32))});
  }
}

void AdamW::update(std::span<const size_t> indices, double learning_rate, double gradient_scale) {
  std::map<int32_t, std::vector<AdamWSlot>> slots_of_step;
  for (const size_t i : indices) {
    const Slot& slot = slots_[i];
    const int32_t step = ++*slot.steps.data<int32_t>();
    slots_of_step[step].push_back({.parameter = value(i),
                                   .gradient = gradient(i),
                                   .first_moment = slot.first_moment,
                                   .second_moment = slot.second_moment,
                                   .decay = decays(i)});
  }
  for (const auto& [step, slots] : slots_of_step) {
    adamw_step(slots, {.learning_rate = learning_rate,
                       .beta1 = hyperparameters_.beta1,
                       .beta2 = hyperparameters_.beta2,
                       .epsilon = hyperparameters_.epsilon,
                       .weight_decay = weight_decay(),
                       .gradient_scale = gradient_scale,
                       .step = step});
  }
}

Adagrad::Adagrad(std::vector<NamedParameter> parameters, const AdagradHyperparameters& hyperparameters)
    : Optimizer(std::move(parameters), hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  check_positive(hyperparameters.epsilon, "Adagrad's epsilon");
  check_not_negative(hyperparameters.initial_sum, "Adagrad's initial_sum");
  for (size_t i = 0; i < parameter_count(); ++i) {
    Tensor sum = full(value(i).shape(), hyperparameters.initial_sum, value(i).dtype());
    sums_.push_back(add_state(i, "sum_of_squares", std::move(sum)));
  }
}

void Adagrad::update(std::span<const size_t> indices, double learning_rate, double gradient_scale) {
  for (const size_t i : indices) {
    const Tensor g = scale_shift(gradient(i), gradient_scale, 0);
    add_into(sums_[i], unary(UnaryOp::square, g));
    decay(i, learning_rate);
    const Tensor root = scale_shift(unary(UnaryOp::sqrt, sums_[i]), 1, hyperparameters_.epsilon);
    add_into(value(i), scale_shift(divide(g, root), -learning_rate, 0));
  }
}

Sgd::Sgd(std::vector<NamedParameter> parameters, const SgdHyperparameters& hyperparameters)
    : Optimizer(std::move(parameters), hyperparameters.weight_decay), hyperparameters_(hyperparameters) {
  check_fraction(hyperparameters.momentum, "the momentum of SGD");
  if (hyperparameters.momentum == 0) return;
  for (size_t i = 0; i < parameter_count(); ++i) {
    velocities_.push_back(add_state(i, "velocity", zeros_like(value(i))));
  }
}

void Sgd::update(std::span<const size_t> indices, double learning_rate, double gradient_scale) {
  for (const size_t i : indices) {
    Tensor direction = scale_shift(gradient(i), gradient_scale, 0);
    if (!velocities_.empty()) {
      add_into(direction, scale_shift(velocities_[i], hyperparameters_.momentum, 0));
      copy_into(velocities_[i], direction);
    }
    decay(i, learning_rate);
    add_into(value(i), scale_shift(direction, -learning_rate, 0));
  }
}

double clip_scale(const std::vector<NamedParameter>& parameters, double max_norm, double* norm) {
  if (!(max_norm >= 0)) fail("the largest gradient norm must not be negative, got {}", max_norm);
  std::vector<Tensor> gradients;
  for (const auto& parameter : parameters) {
    if (parameter.variable->gradient().defined()) gradients.push_back(parameter.variable->gradient());
  }
  const double total = global_norm(gradients);
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
  return max_norm == 0 ? 1 : std::min(1.0, max_norm / (total + 1e-6));
}

}  // namespace haze

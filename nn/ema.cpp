#include "haze/nn/ema.h"

#include <algorithm>

#include "haze/nn/hyperparameters.h"

namespace haze {

Ema::Ema(std::vector<NamedParameter> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay), updates_(zeros({}, Dtype::int32)) {
  check_fraction(decay, "the decay of an average", Dtype::float32);
  for (const auto& parameter : parameters_) {
    Tensor average(parameter.variable->shape(), Dtype::float32, parameter.variable->value().device());
    copy_into(average, parameter.variable->value());
    averages_.push_back(std::move(average));
  }
}

void Ema::update() {
  int32_t& updates = *updates_.data<int32_t>();
  const double decay = std::min(decay_, (1.0 + updates) / (10.0 + updates));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& value = parameters_[i].variable->value();
    const Tensor current = value.dtype() == Dtype::float32 ? value : cast(value, Dtype::float32);
    add_into(averages_[i], scale_shift(subtract(current, averages_[i]), 1 - decay, 0));
  }
  ++updates;
}

NamedTensors Ema::averages() const {
  NamedTensors result;
  for (size_t i = 0; i < parameters_.size(); ++i) result.push_back({parameters_[i].name, averages_[i]});
  return result;
}

void Ema::copy_to(Module& module) const {
  copy_by_name(parameter_tensors(module), averages(), true, "the averages");
}

NamedTensors Ema::state() const {
  NamedTensors result = averages();
  result.push_back({"ema.updates", updates_});
  return result;
}

void Ema::load_state(const NamedTensors& state, std::string_view source_name) {
  copy_by_name(this->state(), state, true, source_name);
}

EmaScope::EmaScope(const Ema& ema) : ema_(ema) {
  for (const auto& parameter : ema.parameters_) values_.push_back(clone(parameter.variable->value()));
  for (size_t i = 0; i < values_.size(); ++i) {
    copy_into(ema.parameters_[i].variable->value(), ema.averages_[i]);
  }
}

EmaScope::~EmaScope() {
  for (size_t i = 0; i < values_.size(); ++i) copy_into(ema_.parameters_[i].variable->value(), values_[i]);
}

}  // namespace haze

#include "haze/nn/feed_forward.h"

#include <string>

namespace haze {

HiddenActivation hidden_activation(std::string_view name) {
  if (name == "relu") return HiddenActivation::relu;
  if (name == "silu") return HiddenActivation::silu;
  if (name == "leaky-relu") return HiddenActivation::leaky_relu;
  fail("there is no hidden activation '{}'; there are relu, silu and leaky-relu", name);
}

Variable activate(HiddenActivation activation, const Variable& x) {
  constexpr double kSlope = 0.2;
  switch (activation) {
    case HiddenActivation::relu:
      return relu(x);
    case HiddenActivation::silu:
      return silu(x);
    case HiddenActivation::leaky_relu:
      return x * kSlope + relu(x) * (1 - kSlope);
  }
  fail("no such activation");
}

std::vector<int64_t> feed_forward_widths(int64_t from, int64_t layers, int64_t hidden, int64_t to) {
  std::vector<int64_t> widths(static_cast<size_t>(layers), hidden);
  widths.insert(widths.begin(), from);
  widths.push_back(to);
  return widths;
}

FeedForward::FeedForward(const std::vector<int64_t>& widths, HiddenActivation activation,
                         Generator& generator)
    : activation_(activation) {
  if (widths.size() < 2) fail("FeedForward: {} widths, it takes 2 or more", widths.size());
  for (size_t i = 0; i + 1 < widths.size(); ++i) {
    layers_.push_back(std::make_unique<Linear>(widths[i], widths[i + 1], generator));
    add_module("layers." + std::to_string(i), *layers_.back());
  }
}

Variable FeedForward::forward_frozen(const Variable& x) const {
  Variable h = x;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (i > 0) h = activate(activation_, h);
    h = linear(h, layers_[i]->weight().detach(), layers_[i]->bias().detach());
  }
  return h;
}

Variable FeedForward::forward(const Variable& x) const {
  Variable h = layers_.front()->forward(x);
  for (size_t i = 1; i < layers_.size(); ++i) h = layers_[i]->forward(activate(activation_, h));
  return h;
}

}  // namespace haze

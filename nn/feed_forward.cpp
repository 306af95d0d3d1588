#include "haze/nn/feed_forward.h"

#include <string>

namespace haze {

namespace {

// activation(x weight^T + bias). The products have no leaky ReLU among their epilogues.
Variable hidden_layer(const Variable& x, const Variable& weight, const Variable& bias,
                      HiddenActivation activation) {
  constexpr double kSlope = 0.2;
  switch (activation) {
    case HiddenActivation::relu:
      return linear(x, weight, bias, Activation::relu);
    case HiddenActivation::silu:
      return linear(x, weight, bias, Activation::silu);
    case HiddenActivation::leaky_relu:
      return leaky_relu(linear(x, weight, bias), kSlope);
  }
  fail("FeedForward: no such activation");
}

}  // namespace

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

Variable FeedForward::forward(const Variable& x) const {
  return forward(x, false);
}

Variable FeedForward::forward_frozen(const Variable& x) const {
  return forward(x, true);
}

Variable FeedForward::forward(const Variable& x, bool frozen) const {
  Variable h = x;
  for (const auto& layer : layers_) {
    const Variable weight = frozen ? layer->weight().detach() : layer->weight();
    const Variable bias = frozen ? layer->bias().detach() : layer->bias();
    h = layer == layers_.back() ? linear(h, weight, bias) : hidden_layer(h, weight, bias, activation_);
  }
  return h;
}

}  // namespace haze

#include "haze/nn/value_network.h"

#include "haze/nn/mlp_network.h"

namespace haze {
namespace {

// [n, extents...]
Shape batch_of(int64_t n, const Shape& extents) {
  Shape shape{n};
  for (int64_t extent : extents) shape.append(extent);
  return shape;
}

}  // namespace

SettingsTable value_network_settings() {
  return {
      choice_setting("network.kind", "auto", {"auto", "mlp"}, "auto: mlp of vectors"),
      integer_setting("mlp.layers", 3, between(1, 1000), "hidden layers"),
      integer_setting("mlp.hidden", 128, between(1, 65536), "width of a hidden layer"),
  };
}

void check_value_network_settings(const Settings&) {}

ValueNetwork::ValueNetwork(const Settings& settings, const Shape& example, int64_t outputs,
                           Generator& generator)
    : example_(example), output_(example), flat_(true) {
  if (example.rank() == 0 || example.elements() < 1)
    fail("a network of values: examples of shape {} have no numbers", example.to_string());
  output_[0] *= outputs;
  network_ = std::make_unique<MlpNetwork>(MlpNetworkConfig{.width = example.elements(),
                                                           .hidden = settings.integer("mlp.hidden"),
                                                           .layers = settings.integer("mlp.layers"),
                                                           .outputs = outputs},
                                          generator);
  add_module("", *network_);
}

Variable ValueNetwork::forward(const Variable& x, const Tensor& t, const ForwardContext& context) const {
  const int64_t n = x.rank() == 0 ? 0 : x.size(0);
  if (!(x.shape() == batch_of(n, example_)))
    fail("a network of examples of shape {} is given {}", example_.to_string(), x.shape().to_string());
  if (!flat_) return network_->forward(x, t, context);
  return reshape(network_->forward(reshape(x, {n, example_.elements()}), t, context), batch_of(n, output_));
}

}  // namespace haze

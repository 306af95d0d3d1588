#include "haze/bench/value_step.h"

#include <numbers>

#include <fmt/format.h>

namespace haze {
namespace {

// t [n] as [n, 1, ...], to scale x by.
Tensor for_each_example(const Tensor& t, const Tensor& x) {
  Shape shape{t.size(0)};
  for (int axis = 1; axis < x.rank(); ++axis) shape.append(1);
  return reshape(t, shape);
}

}  // namespace

std::string ValueStepModel::name() const {
  return fmt::format("{} of {}, batch {}", is_image() ? "U-Net" : "MLP", example.to_string(), batch);
}

const std::vector<ValueStepModel>& value_step_models() {
  static const std::vector<ValueStepModel> models{{{2}, 256}, {{1, 16, 16}, 16}, {{3, 32, 32}, 16}};
  return models;
}

std::vector<std::string> value_peer_settings(const ValueStepModel& model) {
  if (model.is_image()) return {"eager", "compile", "channels-last", "compile+channels-last"};
  return {"eager", "compile", "onednn", "compile+onednn", "one-thread", "compile+one-thread"};
}

StepPeer value_step_peer(const ValueStepModel& model) {
  std::vector<std::string> extents;
  for (int64_t extent : model.example) extents.push_back(std::to_string(extent));
  return {.script = "value_step.py",
          .arguments = {fmt::format("--example={}", fmt::join(extents, ",")),
                        fmt::format("--batch={}", model.batch)},
          .rate = "examples_per_second"};
}

ValueStepProgram::ValueStepProgram(const ValueStepModel& model)
    : generator_(1),
      x_0_(normal(batch_shape(model.batch, model.example), generator_)),
      network_(Settings(value_network_settings()), model.example, 1, generator_),
      optimizer_(network_.parameters(), {.weight_decay = 0.01}) {}

void ValueStepProgram::train() {
  const Tensor t = uniform({x_0_.size(0)}, generator_);
  const Tensor noise = normal(x_0_.shape(), generator_);
  const Tensor angle = for_each_example(scale_shift(t, std::numbers::pi / 2, 0), x_0_);
  const Tensor x_t =
      add(multiply(unary(UnaryOp::cos, angle), x_0_), multiply(unary(UnaryOp::sin, angle), noise));
  const Variable loss = mean(square(network_.forward(x_t, t, {true, &generator_}) - Variable(noise)));
  network_.clear_gradients();
  backward(loss);
  optimizer_.step(1e-4, clip_scale(network_.parameters(), 1.0));
}

}  // namespace haze

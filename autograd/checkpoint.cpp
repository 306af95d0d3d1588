#include "haze/autograd/checkpoint.h"

#include <utility>

#include "haze/autograd/rules.h"

// Trading a second forward pass for memory.
namespace haze {

Variable stand_in(const Variable& x) {
  if (!x.defined()) return x;
  return Tape::record("checkpoint", x.value(), {x}, [](const Variable& g) { return Gradients{g}; });
}

Gradients TapePart::gradients(const Variable& root, const Variable& g, const std::vector<Variable>& values,
                              std::vector<bool> needed, bool create_graph) const {
  Tape::Targets targets{.values = values,
                        .gradients = Gradients(values.size()),
                        .made_after = begin_,
                        .needed = std::move(needed)};
  Tape::run(root, g, {.create_graph = create_graph}, &targets);
  return std::move(targets.gradients);
}

CheckpointRule::CheckpointRule(CheckpointedFunction function, const std::vector<Variable>& inputs,
                               const std::vector<Variable>& used, std::optional<Generator> generator)
    : function_(std::move(function)), generator_(std::move(generator)) {
  for (const Variable& input : inputs) inputs_.emplace_back("input", input);
  for (const Variable& value : used) used_.emplace_back("parameter", value);
  if (generator_) counter_ = Saved("random counter", base_operand({.base = generator_->base()}));
}

Gradients CheckpointRule::operator()(const Variable& g) const {
  counter_.variable();
  const bool create_graph = gradients_enabled();
  const EnableGradient recording;
  const TapePart part;
  std::vector<Variable> values;
  for (const Saved& input : inputs_) values.push_back(stand_in(input.variable()));
  const Variable again = run_again(values);
  for (const Saved& value : used_) values.push_back(value.variable());
  if (!again.requires_gradient()) return Gradients(values.size());
  std::vector<bool> needed_values;
  for (size_t i = 0; i < values.size(); ++i) needed_values.push_back(needed(i));
  const DetectNonFinite naming(detect_);
  return part.gradients(again, g, values, std::move(needed_values), create_graph);
}

Variable CheckpointRule::run_again(const std::vector<Variable>& inputs) const {
  const DetectNonFinite naming(detect_);
  const PrecisionScope multiplying(precision_);
  std::optional<Generator> replay = generator_;
  return function_(inputs, replay ? &*replay : nullptr);
}

Variable checkpoint(const CheckpointedFunction& function, const std::vector<Variable>& inputs,
                    Generator* generator) {
  std::optional<Generator> before;
  if (generator) before = *generator;
  std::vector<Variable> stand_ins;
  for (const Variable& x : inputs) stand_ins.push_back(stand_in(x));
  std::vector<Variable> used =
      stand_ins;  // known from the start: the values behind them were not handed over
  const Variable result = [&] {
    const NoGradient scope;
    return TapePart().run([&] { return function(stand_ins, generator); }, used);
  }();
  used.erase(used.begin(), used.begin() + static_cast<std::ptrdiff_t>(inputs.size()));
  std::vector<Variable> recorded = inputs;
  recorded.insert(recorded.end(), used.begin(), used.end());
  // each input gets its gradient through the function, computed again
  return Tape::record("checkpoint", result.value(), recorded,
                      CheckpointRule(function, inputs, used, std::move(before)));
}

}  // namespace haze

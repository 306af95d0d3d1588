#include <optional>

#include "haze/autograd/rules.h"

// Trading a second forward pass for memory.
namespace haze {
namespace {

/// x itself, as a value of its own on the tape. Its gradient is that of one input of the function, even if
/// the function also uses x without being handed it.
Variable stand_in(const Variable& x) {
  if (!x.defined()) return x;
  return Tape::record("checkpoint", x.value(), {x}, [](const Variable& g) { return Gradients{g}; });
}

/// Collects what is used while nothing is recorded.
class CollectUsed {
 public:
  using Collector = std::vector<Variable>* (*)(std::vector<Variable>*);
  CollectUsed(Collector collect, std::vector<Variable>* into) : collect_(collect), previous_(collect(into)) {}
  ~CollectUsed() { collect_(previous_); }
  CollectUsed(const CollectUsed&) = delete;
  CollectUsed& operator=(const CollectUsed&) = delete;

 private:
  Collector collect_;
  std::vector<Variable>* previous_;
};

}  // namespace

/// One gradient for each of the inputs and of the used values.
class CheckpointRule {
 public:
  CheckpointRule(CheckpointedFunction function, const std::vector<Variable>& inputs,
                 const std::vector<Variable>& used, std::optional<Generator> generator)
      : function_(std::move(function)), generator_(std::move(generator)) {
    for (const Variable& input : inputs) inputs_.emplace_back("input", input);
    for (const Variable& value : used) used_.emplace_back("parameter", value);
  }

  Gradients operator()(const Variable& g) const {
    const bool create_graph = gradients_enabled();
    const EnableGradient recording;
    Tape::Targets targets{.values = {}, .gradients = {}, .made_after = Tape::next_sequence()};
    for (const Saved& input : inputs_) targets.values.push_back(stand_in(input.variable()));
    const Variable again = run_again(targets.values);
    for (const Saved& value : used_) targets.values.push_back(value.variable());
    targets.gradients.resize(targets.values.size());
    for (size_t i = 0; i < targets.values.size(); ++i) targets.needed.push_back(needed(i));
    if (again.requires_gradient()) {
      const DetectNonFinite naming(detect_);
      Tape::run(again, g, {.create_graph = create_graph}, &targets);
    }
    return std::move(targets.gradients);
  }

 private:
  Variable run_again(const std::vector<Variable>& inputs) const {
    const DetectNonFinite naming(detect_);
    const PrecisionScope multiplying(precision_);
    std::optional<Generator> replay = generator_;
    return function_(inputs, replay ? &*replay : nullptr);
  }

  CheckpointedFunction function_;
  std::vector<Saved> inputs_, used_;
  std::optional<Generator> generator_;
  bool detect_ = DetectNonFinite::active();
  Precision precision_ = current_precision();
};

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
    const CollectUsed collecting(Tape::collect_used, &used);
    return stand_in(function(stand_ins, generator));  // what is returned is used, too
  }();
  used.erase(used.begin(), used.begin() + static_cast<std::ptrdiff_t>(inputs.size()));
  std::vector<Variable> recorded = inputs;
  recorded.insert(recorded.end(), used.begin(), used.end());
  // each input gets its gradient through the function, computed again
  return Tape::record("checkpoint", result.value(), recorded,
                      CheckpointRule(function, inputs, used, std::move(before)));
}

}  // namespace haze

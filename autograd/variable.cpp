#include "haze/autograd/variable.h"

#include <atomic>
#include <optional>
#include <queue>

#include "haze/autograd/ops.h"
#include "haze/autograd/rules.h"

namespace haze {
namespace {

thread_local bool recording = true;
thread_local Precision precision_in_use = Precision::full;
thread_local bool detecting_non_finite = false;

uint64_t next_sequence() {
  static std::atomic<uint64_t> counter{0};
  return ++counter;
}

class Leaf final : public Node {
 public:
  Leaf() : Node("leaf") {}

 private:
  Gradients apply(const Variable&) override { return {}; }
  void release() override {}
};

/// Sets a value, and puts it back.
class ValueScope {
 public:
  ValueScope(bool& value, bool now) : value_(value), previous_(std::exchange(value, now)) {}
  ~ValueScope() { value_ = previous_; }
  ValueScope(const ValueScope&) = delete;
  ValueScope& operator=(const ValueScope&) = delete;

 private:
  bool& value_;
  bool previous_;
};

struct RecordingScope : ValueScope {
  explicit RecordingScope(bool enabled) : ValueScope(recording, enabled) {}
};

}  // namespace

Variable Variable::leaf(Tensor value) {
  if (value.dtype() != Dtype::float32 && value.dtype() != Dtype::float64) {
    fail("leaf: gradients are for float32 and float64, not {}", name(value.dtype()));
  }
  return Variable(std::move(value), std::make_shared<Leaf>());
}

const Tensor& Variable::gradient() const {
  if (!node_ || !dynamic_cast<const Leaf*>(node_.get())) fail("gradient: this value is not a leaf");
  return node_->gradient_;
}

void Variable::clear_gradient() {
  if (node_) node_->gradient_ = Tensor();
}

void Variable::on_gradient(std::function<void(const Tensor&)> hook) const {
  if (!node_) fail("on_gradient: this value needs no gradient");
  node_->hooks_.push_back(std::move(hook));
}

bool gradients_enabled() {
  return recording;
}

PrecisionScope::PrecisionScope(Precision precision) : previous_(std::exchange(precision_in_use, precision)) {}
PrecisionScope::~PrecisionScope() {
  precision_in_use = previous_;
}

Precision current_precision() {
  return precision_in_use;
}

NoGradient::NoGradient() : previous_(std::exchange(recording, false)) {}
NoGradient::~NoGradient() {
  recording = previous_;
}

EnableGradient::EnableGradient() : previous_(std::exchange(recording, true)) {}
EnableGradient::~EnableGradient() {
  recording = previous_;
}

DetectNonFinite::DetectNonFinite(bool enabled) : previous_(std::exchange(detecting_non_finite, enabled)) {}
DetectNonFinite::~DetectNonFinite() {
  detecting_non_finite = previous_;
}

bool Tape::needed(const std::vector<Variable>& inputs) {
  if (!recording) return false;
  for (const Variable& input : inputs) {
    if (input.requires_gradient()) return true;
  }
  return false;
}

void Tape::connect(Node& node, const std::vector<Variable>& inputs) {
  node.sequence_ = next_sequence();
  node.inputs_.reserve(inputs.size());
  for (const Variable& input : inputs) node.inputs_.push_back(input.node_);
}

void Tape::check_finite(const char* operation, const Tensor& value, const char* direction) {
  if (!detecting_non_finite || !is_floating(value.dtype()) ||
      all_finite(value.dtype() == Dtype::bfloat16 ? cast(value, Dtype::float32) : value))
    return;
  fail("{}: the {} pass produced the first non-finite number, in a tensor of shape {}", operation, direction,
       value.shape().to_string());
}

// A long tape would overflow the stack if each node destroyed the next from within its own destructor.
void Tape::destroy(Node* node) {
  thread_local std::vector<Node*> waiting;
  thread_local bool busy = false;
  waiting.push_back(node);
  if (busy) return;
  busy = true;
  while (!waiting.empty()) {
    Node* next = waiting.back();
    waiting.pop_back();
    delete next;
  }
  busy = false;
}

namespace {

/// Nodes whose gradients are under way, largest sequence number first: when a node is taken, everything that
/// uses its output has been.
struct Later {
  bool operator()(const auto& a, const auto& b) const { return a.first < b.first; }
};
using ReadyQueue = std::priority_queue<std::pair<uint64_t, std::shared_ptr<Node>>,
                                       std::vector<std::pair<uint64_t, std::shared_ptr<Node>>>, Later>;

// Whether the backward pass under way is gradient()'s, which leaves the gradients of leaves alone.
thread_local bool collecting_targets = false;

}  // namespace

void Tape::deliver(Node& node, const Variable& gradient, const std::vector<Variable>* targets,
                   Gradients* target_gradients) {
  for (const auto& hook : node.hooks_) hook(gradient.value());
  for (size_t i = 0; targets && i < targets->size(); ++i) {
    if ((*targets)[i].node_.get() == &node) (*target_gradients)[i] = gradient;
  }
  const bool leaf = node.sequence_ == 0;
  if (!leaf || targets) return;
  Tensor& sum = node.gradient_;
  sum = sum.defined() ? add(sum, gradient.value()) : contiguous(gradient.value());
}

Gradients Tape::apply_rule(Node& node, const Variable& gradient) {
  if (node.released_) {
    fail(
        "backward: the tape behind {} has been used up by an earlier backward pass; pass retain_graph to "
        "keep it",
        node.operation());
  }
  Gradients gradients = [&] {
    const DetectNonFinite off(false);  // what the rule computes on its way is not the user's operation
    return node.apply(gradient);
  }();
  for (size_t i = 0; i < node.inputs_.size(); ++i) {
    if (node.inputs_[i] && gradients[i].defined())
      check_finite(node.operation(), gradients[i].value(), "backward");
  }
  return gradients;
}

void Tape::accumulate(const Node& from, Node& to, const Variable& gradient) {
  if (!to.pending_.defined()) {
    to.pending_ = gradient;
    return;
  }
  {
    const DetectNonFinite off(false);  // the user called no addition
    to.pending_ = add(to.pending_, gradient);
  }
  check_finite(from.operation(), to.pending_.value(), "backward");
}

void Tape::run(const Variable& root, const Variable& seed, const BackwardOptions& options,
               const std::vector<Variable>* targets, Gradients* target_gradients) {
  if (!root.node_) fail("backward: the value does not depend on anything that needs a gradient");
  const RecordingScope scope(options.create_graph);
  const ValueScope collecting(collecting_targets, targets != nullptr);
  const bool keep = options.retain_graph || options.create_graph;
  // Where a rule throws, what has arrived at other nodes must not reach the next backward pass.
  struct ReadyNodes : ReadyQueue {
    ~ReadyNodes() {
      for (; !empty(); pop()) top().second->pending_ = Variable();
    }
  } ready;
  root.node_->pending_ = seed;
  ready.emplace(root.node_->sequence_, root.node_);
  while (!ready.empty()) {
    const std::shared_ptr<Node> node = ready.top().second;
    ready.pop();
    const Variable gradient = std::exchange(node->pending_, Variable());
    deliver(*node, gradient, targets, target_gradients);
    if (node->sequence_ == 0) continue;
    const Gradients gradients = apply_rule(*node, gradient);
    for (size_t i = 0; i < node->inputs_.size(); ++i) {
      const std::shared_ptr<Node>& input = node->inputs_[i];
      if (!input || !gradients[i].defined()) continue;
      const bool first = !input->pending_.defined();
      accumulate(*node, *input, gradients[i]);
      if (first) ready.emplace(input->sequence_, input);
    }
    if (!keep) {
      node->release();
      node->inputs_.clear();
      node->released_ = true;
    }
  }
}

void backward(const Variable& root, const Tensor& seed, const BackwardOptions& options) {
  Tensor start = seed;
  if (!start.defined()) {
    if (root.value().elements() != 1) {
      fail("backward: the value has shape {}; without a seed it must have one element",
           root.shape().to_string());
    }
    start = ones(root.shape(), root.dtype());
  } else if (start.shape() != root.shape() || start.dtype() != root.dtype()) {
    fail("backward: the seed is {} {}, the value {} {}", name(start.dtype()), start.shape().to_string(),
         name(root.dtype()), root.shape().to_string());
  }
  Tape::run(root, start, options, nullptr, nullptr);
}

Gradients gradient(const Variable& root, const std::vector<Variable>& inputs,
                   const BackwardOptions& options) {
  if (root.value().elements() != 1) {
    fail("gradient: the value has shape {}, not one element", root.shape().to_string());
  }
  for (const Variable& input : inputs) {
    if (!input.requires_gradient())
      fail("gradient: an input does not need a gradient; make it with Variable::leaf");
  }
  Gradients result(inputs.size());
  Tape::run(root, ones(root.shape(), root.dtype()), options, &inputs, &result);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!result[i].defined()) result[i] = zeros(inputs[i].shape(), inputs[i].dtype());
  }
  return result;
}

Variable checkpoint(const CheckpointedFunction& function, const std::vector<Variable>& inputs,
                    Generator* generator) {
  std::optional<Generator> before;
  if (generator) before = *generator;
  Tensor value;
  {
    const NoGradient scope;
    value = function(inputs, generator).value();
  }
  // The inputs that need gradients may be parameters inside `function` alone, so the node is always written.
  std::vector<Variable> recorded = inputs;
  static const Variable anchor = Variable::leaf(zeros({1}));
  recorded.push_back(anchor);
  const bool detect = detecting_non_finite;
  const Precision precision = precision_in_use;
  const KeptPosition counter(before ? RandomPosition{.base = before->base()} : RandomPosition{});
  return Tape::record("checkpoint", value, recorded, [=](const Variable& g) {
    counter.check_unchanged("checkpoint");
    if (gradients_enabled()) fail("checkpoint: second derivatives through a checkpoint are not supported");
    std::vector<Variable> leaves;
    for (const Variable& input : inputs) {
      leaves.push_back(input.requires_gradient() ? Variable::leaf(input.value()) : input);
    }
    const bool for_targets = collecting_targets;
    Gradients gradients(leaves.size());
    const RecordingScope scope(true);
    const Variable again = [&] {
      const DetectNonFinite naming(detect);
      const PrecisionScope multiplying(precision);
      std::optional<Generator> replay = before;
      return function(leaves, replay ? &*replay : nullptr);
    }();
    const DetectNonFinite naming(detect);
    if (again.requires_gradient() && for_targets) {
      Tape::run(again, g.value(), {}, &leaves, &gradients);
    } else if (again.requires_gradient()) {
      backward(again, g.value());
      for (size_t i = 0; i < leaves.size(); ++i) {
        if (leaves[i].requires_gradient()) gradients[i] = Variable(leaves[i].gradient());
      }
    }
    gradients.emplace_back();
    return gradients;
  });
}

}  // namespace haze

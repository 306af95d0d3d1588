#include "haze/autograd/variable.h"

#include <algorithm>
#include <atomic>

#include "haze/autograd/rules.h"

namespace haze {
namespace {

thread_local bool recording = true;
thread_local Precision precision_in_use = Precision::full;
thread_local bool detecting_non_finite = false;

/// Adds up the gradients of backward passes.
class Leaf final : public Node {
 public:
  Leaf(uint64_t sequence, Dtype dtype) : Node("leaf", dtype) {
    leaf_ = true;
    sequence_ = sequence;
  }

  Tensor gradient;

 private:
  Gradients apply(const Variable&) override { return {}; }
  void release() override {}
};

/// Sets a value, and puts it back.
template <typename T>
class ValueScope {
 public:
  ValueScope(T& value, T now) : value_(value), previous_(std::exchange(value, now)) {}
  ~ValueScope() { value_ = previous_; }
  ValueScope(const ValueScope&) = delete;
  ValueScope& operator=(const ValueScope&) = delete;

 private:
  T& value_;
  T previous_;
};

}  // namespace

Variable Variable::leaf(Tensor value) {
  if (!is_floating(value.dtype())) {
    fail("leaf: gradients are for bfloat16, float32 and float64, not {}", name(value.dtype()));
  }
  auto node = std::make_shared<Leaf>(Tape::next_sequence(), value.dtype());
  return Variable(std::move(value), std::move(node));
}

const Tensor& Variable::gradient() const {
  if (!node_ || !node_->leaf_) fail("gradient: this value is not a leaf");
  return static_cast<const Leaf&>(*node_).gradient;
}

void Variable::clear_gradient() {
  if (node_ && node_->leaf_) static_cast<Leaf&>(*node_).gradient = Tensor();
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

bool DetectNonFinite::active() {
  return detecting_non_finite;
}

void Saved::fail_changed() const {
  const char* writer = variable_.value().storage().written_by();
  fail("{}: its saved {} was changed in place by {} before the backward pass",
       Tape::applying_ ? Tape::applying_->operation() : "autograd", role_, writer ? writer : "an operation");
}

uint64_t Tape::next_sequence() {
  static std::atomic<uint64_t> counter{0};
  return ++counter;
}

thread_local Tape::Collector Tape::collector_;

Tape::Collector Tape::collect_used(Collector collector) {
  return std::exchange(collector_, collector);
}

void Tape::note(const Variable& x) {
  if (!collector_.into || x.node_->sequence_ > collector_.made_before) return;
  const auto same = [&](const Variable& other) { return other.node_ == x.node_; };
  if (std::none_of(collector_.into->begin(), collector_.into->end(), same)) collector_.into->push_back(x);
}

bool Tape::record_or_note(const Variable& x) {
  if (!recording) note(x);
  return recording;
}

void Tape::connect(Node& node, const std::vector<Variable>& inputs) {
  node.sequence_ = next_sequence();
  node.inputs_.reserve(inputs.size());
  for (const Variable& input : inputs) {
    if (input.node_) note(input);
    node.inputs_.push_back(input.node_);
  }
}

void Tape::check_finite(const char* operation, const Tensor& value, const char* direction) {
  if (!detecting_non_finite || !is_floating(value.dtype()) || all_finite(value)) return;
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

/// The nodes that a backward pass goes through, and its state in them.
class Tape::Plan {
 public:
  // Every node between `root` and a leaf; with targets, every node between `root` and a target.
  Plan(const std::shared_ptr<Node>& root, const Targets* targets) : Plan(targets) {
    // The object is complete already: where this throws, the destructor puts the nodes back.
    for (size_t i = 0; targets && i < targets->values.size(); ++i) {
      const std::shared_ptr<Node>& node = targets->values[i].node_;
      if (!node) continue;
      Node::Visit& visit = begin(node);
      visit.end = targets->made_after != 0;
      visit.target = !visit.end || targets->needed[i];
    }
    nodes_.reserve(64);
    find_nodes(root);
    std::sort(nodes_.begin(), nodes_.end(),
              [](const auto& a, const auto& b) { return a->sequence_ > b->sequence_; });
    if (targets) keep_what_leads_to_targets();
  }
  ~Plan() {
    for (const auto& node : nodes_) {
      if (node) node->visit_.clear();
    }
    for (size_t i = 0; targets_ && i < targets_->values.size(); ++i) {
      if (const auto& node = targets_->values[i].node_) node->visit_.clear();
    }
    for (auto& [node, visit] : interrupted_) node->visit_ = std::move(visit);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Calls visit(node) for every operation, latest first: when a node is visited, everything that uses its
  // value has been. A node that nothing else holds is gone after its visit.
  template <typename F>
  void for_each_operation(F&& visit) {
    for (std::shared_ptr<Node>& entry : nodes_) {
      if (entry->leaf_) continue;
      visit(*entry);
      entry->visit_.clear();
      entry.reset();
    }
  }

 private:
  explicit Plan(const Targets* targets) : targets_(targets) {}

  Node::Visit& begin(const std::shared_ptr<Node>& node) {
    Node::Visit& visit = node->visit_;
    if (visit.pass == number_) return visit;
    // The node may belong to a pass under way whose rule has started this one.
    if (visit.pass != 0) interrupted_.emplace_back(node, std::exchange(visit, {}));
    visit.pass = number_;
    return visit;
  }

  void add(const std::shared_ptr<Node>& node) {
    Node::Visit& visit = begin(node);
    if (visit.planned) return;
    if (targets_ && node->sequence_ <= targets_->made_after && !visit.end) {
      fail("checkpoint: when it ran again, the function used a value that it had not used before");
    }
    visit.planned = true;
    nodes_.push_back(node);
  }

  void find_nodes(const std::shared_ptr<Node>& root) {
    add(root);
    for (size_t next = 0; next < nodes_.size(); ++next) {
      const Node& node = *nodes_[next];
      if (node.visit_.end) continue;
      for (const auto& input : node.inputs_) {
        if (!input) continue;
        add(input);
        ++input->visit_.waiting;
      }
    }
  }

  void keep_what_leads_to_targets() {
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
      Node::Visit& visit = (*node)->visit_;
      // Nobody knows any more where a used-up tape leads to: the pass goes there, and fails.
      visit.planned = visit.target || (*node)->released_;
      for (const auto& input : (*node)->inputs_) {
        if (visit.planned || visit.end) break;
        visit.planned = input && input->visit_.planned && input->visit_.pass == number_;
      }
    }
    std::erase_if(nodes_, [](const auto& node) {
      if (node->visit_.planned) return false;
      for (const auto& input : node->inputs_) {
        if (input && !node->visit_.end) --input->visit_.waiting;
      }
      node->visit_.clear();
      return true;
    });
  }

  static uint64_t next_number() {
    static std::atomic<uint64_t> counter{0};
    return ++counter;
  }

  const uint64_t number_ = next_number();
  const Targets* targets_;
  std::vector<std::shared_ptr<Node>> nodes_;
  std::vector<std::pair<std::shared_ptr<Node>, Node::Visit>> interrupted_;
};

namespace {

/// Whether nothing else can see the memory of `value`, and it is dense.
bool is_owned(const Tensor& value) {
  return value.is_contiguous() && value.storage().use_count() == 1;
}

}  // namespace

void Tape::deliver(Node& node, Variable& gradient, Targets* targets) {
  const bool ends_here = targets && node.visit_.end;  // the pass around this one will call the hooks
  // A leaf's gradient, or what a hook may write to, is nobody else's.
  const bool must_own = node.leaf_ && !ends_here && (!targets || !node.hooks_.empty());
  if (must_own && !is_owned(gradient.value())) gradient.value_ = clone(gradient.value());
  for (size_t i = 0; targets && node.visit_.target && i < targets->values.size(); ++i) {
    if (targets->values[i].node_.get() == &node) targets->gradients[i] = gradient;
  }
  if (ends_here) return;
  for (const auto& hook : node.hooks_) hook(gradient.value());
  if (targets || !node.leaf_) return;
  Tensor& sum = static_cast<Leaf&>(node).gradient;
  sum = sum.defined() ? add(sum, gradient.value()) : std::move(gradient.value_);
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
    const ValueScope<const Node*> scope(applying_, &node);
    return node.apply(gradient);
  }();
  for (size_t i = 0; detecting_non_finite && i < node.inputs_.size(); ++i) {
    if (node.inputs_[i] && gradients[i].defined())
      check_finite(node.operation(), gradients[i].value(), "backward");
  }
  return gradients;
}

Variable Tape::rounded(const Node& node, Variable&& gradient) {
  if (gradient.dtype() == node.dtype_) return std::move(gradient);
  const DetectNonFinite off(false);  // the user called no conversion
  return cast(gradient, node.dtype_);
}

void Tape::accumulate(const Node& from, Node& to, Variable&& gradient) {
  Variable& sum = to.visit_.gradient;
  if (!sum.defined()) {
    sum = std::move(gradient);
    return;
  }
  {
    const DetectNonFinite off(false);  // the user called no addition
    sum = add(widened(sum), widened(gradient));
  }
  check_finite(from.operation(), sum.value(), "backward");
}

void Tape::hand_on(Node& node, Gradients gradients, Targets* targets) {
  for (size_t i = 0; i < node.inputs_.size(); ++i) {
    Node* const input = node.inputs_[i].get();
    if (!input || !input->visit_.planned || input->visit_.pass != node.visit_.pass) continue;
    if (i < gradients.size() && gradients[i].defined()) accumulate(node, *input, std::move(gradients[i]));
    if (!input->leaf_ || --input->visit_.waiting > 0) continue;
    if (!input->visit_.gradient.defined()) continue;
    Variable complete = rounded(*input, std::move(input->visit_.gradient));
    input->visit_.gradient = Variable();
    deliver(*input, complete, targets);
  }
}

void Tape::run(const Variable& root, const Variable& seed, const BackwardOptions& options, Targets* targets) {
  if (!root.node_) fail("backward: the value does not depend on anything that needs a gradient");
  const ValueScope<bool> scope(recording, options.create_graph);
  const bool keep = options.retain_graph || options.create_graph;
  Plan plan(root.node_, targets);
  Variable start = seed;
  if (root.node_->leaf_) return deliver(*root.node_, start, targets);
  root.node_->visit_.gradient = std::move(start);
  plan.for_each_operation([&](Node& node) {
    Variable gradient = std::move(node.visit_.gradient);
    if (gradient.defined()) {
      gradient = rounded(node, std::move(gradient));
      deliver(node, gradient, targets);
    }
    if (node.visit_.end) return;
    hand_on(node, gradient.defined() ? apply_rule(node, gradient) : Gradients(), targets);
    if (!keep && gradient.defined()) {
      node.release();
      node.inputs_.clear();
      node.released_ = true;
    }
  });
}

void backward(const Variable& root, const Tensor& seed, const BackwardOptions& options) {
  Tensor start = seed;
  if (!start.defined()) {
    if (root.value().elements() != 1) {
      fail("backward: the value has shape {}; without a seed it must have one element",
           root.shape().to_string());
    }
    start = ones_like(root.value());
  } else if (start.shape() != root.shape() || start.dtype() != root.dtype()) {
    fail("backward: the seed is {} {}, the value {} {}", name(start.dtype()), start.shape().to_string(),
         name(root.dtype()), root.shape().to_string());
  }
  Tape::run(root, start, options, nullptr);
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
  Tape::Targets targets{.values = inputs, .gradients = Gradients(inputs.size())};
  Tape::run(root, ones_like(root.value()), options, &targets);
  Gradients result = std::move(targets.gradients);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!result[i].defined()) result[i] = zeros_like(inputs[i].value());
    // Two inputs of a sum get the same tensor: whoever writes to one must not change the other.
    const auto shares = [&](const Variable& other) {
      return other.value().storage() == result[i].value().storage();
    };
    if (!options.create_graph &&
        std::any_of(result.begin(), result.begin() + static_cast<std::ptrdiff_t>(i), shares))
      result[i] = Variable(clone(result[i].value()));
  }
  return result;
}

}  // namespace haze

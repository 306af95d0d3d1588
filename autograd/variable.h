#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "haze/engine/ops.h"

namespace haze {

class Node;

/// A tensor that remembers how it was computed. Copies share the tensor's storage and the node of the tape.
/// A Tensor converts to a Variable that needs no gradient.
class Variable {
 public:
  Variable() = default;
  Variable(Tensor value) : value_(std::move(value)) {}  // NOLINT: a constant wherever a Variable is taken
  /// A leaf, such as a parameter: backward() leaves its gradient in gradient(). The value must be floating.
  static Variable leaf(Tensor value);

  const Tensor& value() const { return value_; }
  const Shape& shape() const { return value_.shape(); }
  int64_t size(int axis) const { return value_.size(axis); }
  int rank() const { return value_.rank(); }
  Dtype dtype() const { return value_.dtype(); }
  Device device() const { return value_.device(); }
  bool defined() const { return value_.defined(); }
  bool requires_gradient() const { return node_ != nullptr; }

  /// What backward() has added up for this leaf; undefined before. Throws Error where this is not a leaf.
  const Tensor& gradient() const;
  /// Forgets the gradient of this leaf.
  void clear_gradient();
  /// The same value without its history.
  Variable detach() const { return Variable(value_); }
  /// Calls `hook` once in every backward pass that reaches this value, with its complete gradient. A leaf's
  /// hook is called when the last operation that feeds the leaf has run, while the rest of the pass is still
  /// to come. It gets the tensor that gradient() takes over or adds, and may write to it. Throws Error where
  /// no gradient is needed.
  void on_gradient(std::function<void(const Tensor&)> hook) const;

 private:
  friend class Node;
  friend class Tape;
  Variable(Tensor value, std::shared_ptr<Node> node) : value_(std::move(value)), node_(std::move(node)) {}

  Tensor value_;
  std::shared_ptr<Node> node_;
};

/// One gradient for each input of an operation, in order; undefined where the input needs none.
using Gradients = std::vector<Variable>;

/// One operation on the tape, or a leaf.
class Node : public std::enable_shared_from_this<Node> {
 public:
  virtual ~Node() = default;
  const char* operation() const { return operation_; }

 protected:
  friend class Variable;
  friend class Tape;

  /// How far a backward pass has come with this node.
  struct Visit {
    uint64_t pass = 0;     // the number of the pass; 0: none is under way
    bool target = false;   // the pass was asked for this gradient
    bool end = false;      // the pass leaves the inputs of this node alone
    bool planned = false;  // the pass needs this gradient
    int waiting = 0;       // of a leaf: uses of its value that the pass has yet to go through
    Variable gradient;     // sum of what has arrived

    void clear() {
      pass = 0;
      target = end = planned = false;
      waiting = 0;
      if (gradient.defined()) gradient = Variable();
    }
  };

  Node(const char* operation, Dtype dtype) : operation_(operation), dtype_(dtype) {}

  /// Gradients of the inputs from the gradient of the output.
  virtual Gradients apply(const Variable& gradient) = 0;
  /// Lets go of everything saved for apply().
  virtual void release() = 0;

  Variable output_of(const Tensor& value) { return Variable(value, shared_from_this()); }

  const char* operation_;
  Dtype dtype_;            // what the complete gradient is rounded to
  uint64_t sequence_ = 0;  // later nodes have larger numbers: their order is a topological order
  bool leaf_ = false;
  bool released_ = false;
  std::vector<std::shared_ptr<Node>> inputs_;
  Visit visit_;
  std::vector<std::function<void(const Tensor&)>> hooks_;
};

/// A value that a rule keeps for the backward pass. Reading it throws Error where an operation has written to
/// its memory in between: "linear: its saved weight was changed in place by adamw before the backward pass".
/// A write to any view of that memory counts.
class Saved {
 public:
  Saved() = default;
  /// `role`, a literal, names the value in the error.
  Saved(const char* role, Variable value)
      : variable_(std::move(value)), role_(role), version_(variable_.value().storage().version()) {}

  bool defined() const { return variable_.defined(); }
  const Shape& shape() const { return variable_.shape(); }
  Dtype dtype() const { return variable_.dtype(); }

  const Variable& variable() const {
    check();
    return variable_;
  }
  const Tensor& value() const { return variable().value(); }

 private:
  void check() const {
    if (variable_.value().storage().version() != version_) fail_changed();
  }
  [[noreturn]] void fail_changed() const;

  Variable variable_;
  const char* role_ = nullptr;
  uint32_t version_ = 0;
};

/// Whether operations are being written on the tape (on this thread).
bool gradients_enabled();

/// No operation is recorded while one of these lives.
class NoGradient {
 public:
  NoGradient();
  ~NoGradient();
  NoGradient(const NoGradient&) = delete;
  NoGradient& operator=(const NoGradient&) = delete;

 private:
  bool previous_;
};

/// Operations are recorded while one of these lives, within a NoGradient too: a gradient of the inputs in
/// work that is not trained, such as guidance of a sampler.
class EnableGradient {
 public:
  EnableGradient();
  ~EnableGradient();
  EnableGradient(const EnableGradient&) = delete;
  EnableGradient& operator=(const EnableGradient&) = delete;

 private:
  bool previous_;
};

/// While one of these lives, linear(), mlp(), linear_cross_entropy() and projected_loss() multiply float32
/// with this precision, in the forward pass and in the backward pass that follows from it, unless that one is
/// recorded itself.
class PrecisionScope {
 public:
  explicit PrecisionScope(Precision precision);
  ~PrecisionScope();
  PrecisionScope(const PrecisionScope&) = delete;
  PrecisionScope& operator=(const PrecisionScope&) = delete;

 private:
  Precision previous_;
};
/// That of the innermost scope on this thread; Precision::full outside of all.
Precision current_precision();

/// While one of these lives, the first operation, forward or backward, whose result holds a NaN or an
/// infinity throws an Error that names it.
class DetectNonFinite {
 public:
  explicit DetectNonFinite(bool enabled = true);
  ~DetectNonFinite();
  DetectNonFinite(const DetectNonFinite&) = delete;
  DetectNonFinite& operator=(const DetectNonFinite&) = delete;
  /// Whether one of these is at work on this thread.
  static bool active();

 private:
  bool previous_;
};

struct BackwardOptions {
  bool create_graph = false;  // write the backward pass itself on the tape, for second derivatives
  bool retain_graph = false;  // keep what is saved, for another backward pass (implied by create_graph)
};

/// Adds d(root)/d(leaf) to the gradient of every leaf behind `root`. `seed` is d(loss)/d(root), by default 1
/// for a root with one element. Saved tensors are let go as soon as they have been used. Throws Error where
/// root needs no gradient, or where the tape behind it has been used up.
void backward(const Variable& root, const Tensor& seed = {}, const BackwardOptions& options = {});

/// d(root)/d(input) for each input, leaving the gradients of leaves alone. Only what leads from root to an
/// input is computed. An input that root does not depend on gets zeros.
Gradients gradient(const Variable& root, const std::vector<Variable>& inputs,
                   const BackwardOptions& options = {});

using CheckpointedFunction =
    std::function<Variable(const std::vector<Variable>& inputs, Generator* generator)>;

/// Runs `function` without keeping its intermediate values; the backward pass runs it again (Chen et al.
/// 2016, "Training deep nets with sublinear memory cost"). `function` must do the same each time. It may also
/// use values that it is not handed, such as parameters: they get their gradients too. Random numbers
/// `function` takes from the generator that it is handed: `generator` in the first run, later one that gives
/// the same numbers.
Variable checkpoint(const CheckpointedFunction& function, const std::vector<Variable>& inputs,
                    Generator* generator = nullptr);

/// Writing on the tape: what the operations of ops.h are made with.
class Tape {
 public:
  /// The Variable of `value`, computed by `operation` from `inputs`. `rule` maps the gradient g of the result
  /// to the gradients of the inputs; a rule of two arguments also gets the result y itself. A rule is written
  /// with operations on Variables, so that it can be differentiated again, or, for fused operations, with
  /// Tensors. g has the dtype of the result, or `gradient_dtype`.
  template <typename Rule>
  static Variable record(const char* operation, Tensor value, const std::vector<Variable>& inputs,
                         Rule&& rule, std::optional<Dtype> gradient_dtype = {}) {
    check_finite(operation, value, "forward");
    if (std::none_of(inputs.begin(), inputs.end(), must_record)) return Variable(std::move(value));
    auto node = make_node<std::decay_t<Rule>>(operation, value, gradient_dtype.value_or(value.dtype()),
                                              std::forward<Rule>(rule));
    connect(*node, inputs);
    return Variable(std::move(value), std::move(node));
  }

  /// Whether an operation that uses x must be recorded. Whoever decides that without record() asks here.
  static bool must_record(const Variable& x) { return x.node_ && record_or_note(x); }

  /// Within a rule: whether the backward pass under way needs the gradient of the operation's input `index`;
  /// false where there is no such input.
  static bool gradient_needed(size_t index) {
    if (index >= applying_->inputs_.size()) return false;
    const Node* input = applying_->inputs_[index].get();
    return input && input->visit_.planned && input->visit_.pass == applying_->visit_.pass;
  }

 private:
  friend class Variable;
  friend class Saved;
  friend class TapePart;
  friend void backward(const Variable&, const Tensor&, const BackwardOptions&);
  friend Gradients gradient(const Variable&, const std::vector<Variable>&, const BackwardOptions&);

  /// The values whose gradients a pass was asked for.
  struct Targets {
    std::vector<Variable> values;
    Gradients gradients;  // one for each value; undefined where the root does not depend on it
    // Of a pass through part of a tape: it ends at the values, and everything else that it meets is newer
    // than this. 0 for a pass that goes on behind them.
    uint64_t made_after = 0;
    std::vector<bool> needed = {};  // in such a pass, the values that are more than its end
  };
  class Plan;

  template <typename Rule>
  class RuleNode final : public Node {
   public:
    static constexpr bool kTakesOutput = std::is_invocable_v<Rule, const Variable&, const Variable&>;
    RuleNode(const char* operation, const Tensor& value, Dtype dtype, Rule rule)
        : Node(operation, dtype), rule_(std::make_unique<Rule>(std::move(rule))) {
      if constexpr (kTakesOutput) output_ = Saved("result", value);
    }

   private:
    Gradients apply(const Variable& g) override {
      if constexpr (kTakesOutput) {
        return (*rule_)(g, output_of(output_.value()));
      } else {
        return (*rule_)(g);
      }
    }
    void release() override {
      rule_.reset();
      output_ = {};
    }

    struct Nothing {};
    std::unique_ptr<Rule> rule_;
    [[no_unique_address]] std::conditional_t<kTakesOutput, Saved, Nothing> output_;
  };

  template <typename Rule>
  static std::shared_ptr<Node> make_node(const char* operation, const Tensor& value, Dtype dtype, Rule rule) {
    return std::shared_ptr<Node>(new RuleNode<Rule>(operation, value, dtype, std::move(rule)), destroy);
  }

  static bool record_or_note(const Variable& x);
  static uint64_t next_sequence();
  /// Where the values are added that need a gradient and are used on this thread; null: nowhere.
  struct Collector {
    std::vector<Variable>* into = nullptr;
    uint64_t made_before = 0;  // newer values are left out
  };
  // Returns the collector that was at work before.
  static Collector collect_used(Collector collector);
  static void note(const Variable& x);
  static void connect(Node& node, const std::vector<Variable>& inputs);
  static void check_finite(const char* operation, const Tensor& value, const char* direction);
  static void destroy(Node* node);

  static void run(const Variable& root, const Variable& seed, const BackwardOptions& options,
                  Targets* targets);
  // Hands a node's complete gradient to hooks, to targets and, without targets, to the gradient of a leaf.
  static void deliver(Node& node, Variable& gradient, Targets* targets);
  // A node's complete gradient, which may be float32 where the value is bfloat16, in the node's dtype.
  static Variable rounded(const Node& node, Variable&& gradient);
  static Gradients apply_rule(Node& node, const Variable& gradient);
  // Adds a gradient that the rule of `from` returned to those that have arrived at `to`; bfloat16 in float32.
  static void accumulate(const Node& from, Node& to, Variable&& gradient);
  // Hands the gradients of a node's inputs on; those of leaves that are now complete are delivered.
  static void hand_on(Node& node, Gradients gradients, Targets* targets);

  static inline constinit thread_local const Node* applying_ = nullptr;  // the node whose rule is running
  static thread_local Collector collector_;
};

}  // namespace haze

#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "haze/engine/ops.h"

namespace haze {

class Node;

/// A tensor that remembers how it was computed. Copies share the tensor's storage and the place on the tape.
/// A Tensor converts to a Variable that needs no gradient.
class Variable {
 public:
  Variable() = default;
  Variable(Tensor value) : value_(std::move(value)) {}  // NOLINT: a constant wherever a Variable is taken
  /// A leaf, such as a parameter: backward() leaves its gradient in gradient(). The value must be real.
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
  /// Calls `hook` with the gradient of this value once it is complete, at every backward pass. Throws Error
  /// where no gradient is needed.
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

/// One operation on the tape.
class Node : public std::enable_shared_from_this<Node> {
 public:
  virtual ~Node() = default;
  const char* operation() const { return operation_; }

 protected:
  friend class Variable;
  friend class Tape;
  explicit Node(const char* operation) : operation_(operation) {}

  /// Gradients of the inputs from the gradient of the output.
  virtual Gradients apply(const Variable& gradient) = 0;
  /// Lets go of everything saved for apply().
  virtual void release() = 0;

  Variable output_of(const Tensor& value) { return Variable(value, shared_from_this()); }

  const char* operation_;
  uint64_t sequence_ = 0;  // later operations have larger numbers: their order is a topological order
  bool released_ = false;
  std::vector<std::shared_ptr<Node>> inputs_;
  Variable pending_;  // sum of the gradients that have arrived in the backward pass under way
  Tensor gradient_;   // of a leaf
  std::vector<std::function<void(const Tensor&)>> hooks_;
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

/// While one of these lives, linear(), mlp() and linear_cross_entropy() multiply float32 with this precision,
/// in the forward pass and in the backward pass that follows from it, unless that one is recorded itself.
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

/// d(root)/d(input) for each input, leaving the gradients of leaves alone. An input that root does not depend
/// on gets zeros.
Gradients gradient(const Variable& root, const std::vector<Variable>& inputs,
                   const BackwardOptions& options = {});

using CheckpointedFunction =
    std::function<Variable(const std::vector<Variable>& inputs, Generator* generator)>;

/// Runs `function` without keeping its intermediate values; the backward pass runs it again (Chen et al.
/// 2016, "Training deep nets with sublinear memory cost"). Random numbers `function` takes from the generator
/// that it is handed: `generator` in the first run, in the second one that gives the same numbers.
Variable checkpoint(const CheckpointedFunction& function, const std::vector<Variable>& inputs,
                    Generator* generator = nullptr);

/// Writing on the tape: what the operations of ops.h are made with.
class Tape {
 public:
  /// The Variable of `value`, computed by `operation` from `inputs`. `rule` maps the gradient g of the result
  /// to the gradients of the inputs; a rule of two arguments also gets the result y itself. A rule is written
  /// with operations on Variables, so that it can be differentiated again, or, for fused operations, with
  /// Tensors.
  template <typename Rule>
  static Variable record(const char* operation, Tensor value, const std::vector<Variable>& inputs,
                         Rule&& rule) {
    check_finite(operation, value, "forward");
    if (!needed(inputs)) return Variable(std::move(value));
    auto node = make_node<std::decay_t<Rule>>(operation, value, std::forward<Rule>(rule));
    connect(*node, inputs);
    return Variable(std::move(value), std::move(node));
  }

  static void run(const Variable& root, const Variable& seed, const BackwardOptions& options,
                  const std::vector<Variable>* targets, Gradients* target_gradients);

 private:
  template <typename Rule>
  class RuleNode final : public Node {
   public:
    static constexpr bool kTakesOutput = std::is_invocable_v<Rule, const Variable&, const Variable&>;
    RuleNode(const char* operation, const Tensor& value, Rule rule)
        : Node(operation), rule_(std::make_unique<Rule>(std::move(rule))) {
      if constexpr (kTakesOutput) output_ = value;
    }

   private:
    Gradients apply(const Variable& g) override {
      if constexpr (kTakesOutput) {
        return (*rule_)(g, output_of(output_));
      } else {
        return (*rule_)(g);
      }
    }
    void release() override {
      rule_.reset();
      output_ = Tensor();
    }

    std::unique_ptr<Rule> rule_;
    Tensor output_;
  };

  template <typename Rule>
  static std::shared_ptr<Node> make_node(const char* operation, const Tensor& value, Rule rule) {
    return std::shared_ptr<Node>(new RuleNode<Rule>(operation, value, std::move(rule)), destroy);
  }

  static bool needed(const std::vector<Variable>& inputs);
  static void connect(Node& node, const std::vector<Variable>& inputs);
  static void check_finite(const char* operation, const Tensor& value, const char* direction);
  static void destroy(Node* node);
  // Hands a node's complete gradient to hooks, to targets and, without targets, to the gradient of a leaf.
  static void deliver(Node& node, const Variable& gradient, const std::vector<Variable>* targets,
                      Gradients* target_gradients);
  static Gradients apply_rule(Node& node, const Variable& gradient);
  // Adds a gradient that the rule of `from` returned to those that have arrived at `to`.
  static void accumulate(const Node& from, Node& to, const Variable& gradient);
};

}  // namespace haze

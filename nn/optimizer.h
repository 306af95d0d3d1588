#pragma once

#include <span>
#include <string>
#include <vector>

#include "haze/nn/named_tensors.h"

namespace haze {

/// Changes parameters by their gradients. A parameter without a gradient is left alone, and so is its state.
/// It keeps pointers to the parameters, so the module must outlive it, and Module::to() must come before it.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One step with gradients multiplied by `gradient_scale` (see clip_scale). Throws Error where the learning
  /// rate is negative or either number is not finite.
  void step(double learning_rate, double gradient_scale = 1);

  /// All that must be kept to go on as if never stopped, such as "mlp.weight.first_moment", in a fixed order.
  /// The tensors are the optimizer's own: step() changes them.
  const NamedTensors& state() const { return state_; }
  /// Takes over a state. Throws Error, with `source_name` and all names that do not fit, before anything
  /// changes.
  void load_state(const NamedTensors& state, std::string_view source_name = "the optimizer's state");

 protected:
  /// Throws Error where weight_decay is negative.
  Optimizer(std::vector<NamedParameter> parameters, double weight_decay);

  /// Steps the parameters at these indices, all of which have gradients.
  virtual void update(std::span<const size_t> indices, double learning_rate, double gradient_scale) = 0;

  size_t parameter_count() const { return parameters_.size(); }
  const Tensor& value(size_t index) const { return parameters_[index].variable->value(); }
  Tensor gradient(size_t index) const { return contiguous(parameters_[index].variable->gradient()); }
  double weight_decay() const { return weight_decay_; }
  /// Whether weight decay applies: to matrices, but not to biases and the gains of norms (rank below 2).
  bool decays(size_t index) const { return weight_decay_ > 0 && value(index).rank() >= 2; }
  /// Decoupled weight decay: value -= learning_rate weight_decay value, where it applies.
  void decay(size_t index, double learning_rate) const;
  /// Adds a tensor named "<parameter>.<name>" to the state.
  Tensor add_state(size_t index, std::string_view name, Tensor initial);

 private:
  std::vector<NamedParameter> parameters_;
  double weight_decay_;
  NamedTensors state_;
};

struct AdamWHyperparameters {
  double beta1 = 0.9;    // in [0, 1)
  double beta2 = 0.999;  // in [0, 1)
  double epsilon = 1e-8;
  double weight_decay = 0;  // of parameters of rank 2 and more
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2). Each parameter counts its own
/// steps for the bias correction. Throws Error where a hyperparameter is outside its range.
class AdamW : public Optimizer {
 public:
  explicit AdamW(std::vector<NamedParameter> parameters, const AdamWHyperparameters& hyperparameters = {});

 private:
  struct Slot {
    Tensor first_moment, second_moment;
    Tensor steps;  // int32 []
  };
  void update(std::span<const size_t> indices, double learning_rate, double gradient_scale) override;

  AdamWHyperparameters hyperparameters_;
  std::vector<Slot> slots_;
};

struct AdagradHyperparameters {
  double epsilon = 1e-10;
  double initial_sum = 0;   // of squared gradients
  double weight_decay = 0;  // of parameters of rank 2 and more, decoupled
};

/// sum += g^2; x -= learning_rate g / (sqrt(sum) + epsilon) (Duchi, Hazan and Singer 2011). Throws Error
/// where epsilon is not positive or initial_sum is negative.
class Adagrad : public Optimizer {
 public:
  explicit Adagrad(std::vector<NamedParameter> parameters,
                   const AdagradHyperparameters& hyperparameters = {});

 private:
  void update(std::span<const size_t> indices, double learning_rate, double gradient_scale) override;

  AdagradHyperparameters hyperparameters_;
  std::vector<Tensor> sums_;
};

struct SgdHyperparameters {
  double momentum = 0;      // in [0, 1); 0: no velocity is kept
  double weight_decay = 0;  // of parameters of rank 2 and more, decoupled
};

/// velocity = momentum velocity + g; x -= learning_rate velocity (Polyak 1964, in the form of Sutskever et
/// al. 2013 without their look-ahead). Throws Error where momentum is outside its range.
class Sgd : public Optimizer {
 public:
  explicit Sgd(std::vector<NamedParameter> parameters, const SgdHyperparameters& hyperparameters = {});

 private:
  void update(std::span<const size_t> indices, double learning_rate, double gradient_scale) override;

  SgdHyperparameters hyperparameters_;
  std::vector<Tensor> velocities_;
};

/// The gradient_scale that brings the norm of all gradients together down to `max_norm`: min(1, max_norm /
/// (norm + 1e-6)); 1 where max_norm is 0, which means no limit. `norm` receives the norm before scaling.
/// Throws Error where max_norm is negative, or where the norm is not finite, with the parameter it comes
/// from.
double clip_scale(const std::vector<NamedParameter>& parameters, double max_norm, double* norm = nullptr);

}  // namespace haze

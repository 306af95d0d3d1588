#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "haze/nn/named_tensors.h"

namespace haze {

/// Parameters that an optimizer treats alike.
struct ParameterGroup {
  std::vector<NamedParameter> parameters;
  /// Factor of the learning rate, finite and not negative. At 0 the group is frozen: it is neither stepped,
  /// decayed nor clipped, and has no state.
  double rate = 1;
  std::optional<double> weight_decay = std::nullopt;  // instead of the optimizer's, >= 0
};

/// Changes parameters by their gradients. A parameter without a gradient is left alone, and so is its state.
/// It keeps pointers to the parameters, so the module must outlive it, and Module::to() must come before it.
/// A constructor takes the parameters as one list, which is one group, or as groups. It throws Error where a
/// parameter occurs twice, and where a number is outside its range or loses its meaning in the parameters'
/// dtype (hyperparameters.h).
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One step with gradients multiplied by `gradient_scale` (see clip_scale). A group's learning rate is
  /// `learning_rate` times its rate. Before anything changes, throws Error where the learning
  /// rate is negative or either number is not finite. Throws too where one that is not 0 becomes 0 or
  /// infinite in the parameters' dtype.
  void step(double learning_rate, double gradient_scale = 1);
  /// The same with a scale that the device has computed, real [] (see device_clip_scale). Nobody waits for
  /// it: where it is not finite, parameters and state stay as they are.
  void step(double learning_rate, const Tensor& gradient_scale);
  /// The same with a learning rate on the device, too, real [], which nobody checks. All that changes from
  /// step to step lies there, so that a recorded step can be repeated.
  void step(const Tensor& learning_rate, const Tensor& gradient_scale);

  /// All that must be kept to go on as if never stopped, such as "mlp.weight.first_moment", in a fixed order.
  /// The tensors are the optimizer's own: step() changes them.
  const NamedTensors& state() const { return state_; }
  /// Takes over a state. Throws Error, with `source_name` and all names that do not fit, before anything
  /// changes.
  void load_state(const NamedTensors& state, std::string_view source_name = "the optimizer's state");
  /// Must be called after somebody else has written to tensors of state(), other than a graph that replays
  /// steps of this optimizer (engine/graph.h).
  virtual void state_changed() {}

 protected:
  /// A number of a step: the host's, or the device's where it is defined, which kernels read when they run.
  struct Number {
    double host = 1;
    Tensor device = {};  // real []

    /// The number times `factor` + `shift`.
    Number scaled(double factor, double shift = 0) const;
    Tensor times(const Tensor& x) const;
    /// uint8 []: whether the device's number is finite.
    Tensor is_finite() const;
  };

  Optimizer(const std::vector<ParameterGroup>& groups, double weight_decay);

  /// Steps the parameters at these indices, all of which have gradients.
  virtual void update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) = 0;

  /// The number of parameters that are not frozen. Indices count them, group by group.
  size_t parameter_count() const { return entries_.size(); }
  const Tensor& value(size_t index) const { return entries_[index].parameter.variable->value(); }
  Tensor gradient(size_t index) const { return contiguous(entries_[index].parameter.variable->gradient()); }
  /// Factor of the learning rate.
  double rate(size_t index) const { return entries_[index].rate; }
  double weight_decay(size_t index) const { return entries_[index].weight_decay; }
  /// Whether weight decay applies: to matrices, but not to biases and the gains of norms (rank below 2).
  bool decays(size_t index) const { return weight_decay(index) > 0 && value(index).rank() >= 2; }
  /// Decoupled weight decay: value (1 - learning_rate weight_decay), or the value where it does not apply.
  Tensor decayed(size_t index, const Number& learning_rate) const;
  /// Makes `target` what the step gives; where the gradients' scale on the device is not finite, it stays.
  static void assign(const Tensor& target, const Tensor& next, const Number& scale);
  /// The dtype whose range every hyperparameter must fit: float64 where all parameters are float64, else
  /// float32.
  Dtype narrowest_dtype() const;
  /// Adds a tensor named "<parameter>.<name>" to the state.
  Tensor add_state(size_t index, std::string_view name, Tensor initial);

 private:
  void check_learning_rate(double learning_rate) const;
  std::vector<size_t> indices_with_gradients() const;

  struct Entry {
    NamedParameter parameter;
    double rate, weight_decay;
  };

  std::vector<Entry> entries_;
  NamedTensors state_;
};

struct AdamWHyperparameters {
  double beta1 = 0.9;       // in [0, 1)
  double beta2 = 0.999;     // in [0, 1)
  double epsilon = 1e-8;    // at least the smallest normal number of the parameters' dtype
  double weight_decay = 0;  // of parameters of rank 2 and more
};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2). Each parameter counts its own
/// steps for the bias correction.
class AdamW : public Optimizer {
 public:
  explicit AdamW(const std::vector<ParameterGroup>& groups, const AdamWHyperparameters& hyperparameters = {});
  explicit AdamW(std::vector<NamedParameter> parameters, const AdamWHyperparameters& hyperparameters = {});

  void state_changed() override { histories_known_ = false; }

 private:
  struct Slot {
    Tensor first_moment, second_moment;
    Tensor steps;  // int32 [], a view of steps_
  };
  /// Gives parameters that have made the same steps the same number: they go together. The host does not know
  /// how many steps these were, as a step whose scale is not finite is not counted. A replayed step counts
  /// for the same parameters as when it was captured, and so changes no history.
  const std::vector<int32_t>& histories();
  void count_step(std::span<const size_t> indices, const Number& scale);
  void update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) override;

  AdamWHyperparameters hyperparameters_;
  std::vector<Slot> slots_;
  Tensor steps_;  // int32 [parameters], on their device
  std::vector<int32_t> histories_;
  int32_t next_history_ = 0;
  bool histories_known_ = true;
};

struct AdagradHyperparameters {
  double epsilon = 1e-10;   // at least the smallest normal number of the parameters' dtype
  double initial_sum = 0;   // of squared gradients, >= 0
  double weight_decay = 0;  // of parameters of rank 2 and more, decoupled
};

/// sum += g^2; x -= learning_rate g / (sqrt(sum) + epsilon) (Duchi, Hazan and Singer 2011).
class Adagrad : public Optimizer {
 public:
  explicit Adagrad(const std::vector<ParameterGroup>& groups,
                   const AdagradHyperparameters& hyperparameters = {});
  explicit Adagrad(std::vector<NamedParameter> parameters,
                   const AdagradHyperparameters& hyperparameters = {});

 private:
  void update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) override;

  AdagradHyperparameters hyperparameters_;
  std::vector<Tensor> sums_;
};

struct SgdHyperparameters {
  double momentum = 0;      // in [0, 1); 0: no velocity is kept
  double weight_decay = 0;  // of parameters of rank 2 and more, decoupled
};

/// velocity = momentum velocity + g; x -= learning_rate velocity (Polyak 1964, in the form of Sutskever et
/// al. 2013 without their look-ahead).
class Sgd : public Optimizer {
 public:
  explicit Sgd(const std::vector<ParameterGroup>& groups, const SgdHyperparameters& hyperparameters = {});
  explicit Sgd(std::vector<NamedParameter> parameters, const SgdHyperparameters& hyperparameters = {});

 private:
  void update(std::span<const size_t> indices, const Number& learning_rate, const Number& scale) override;

  SgdHyperparameters hyperparameters_;
  std::vector<Tensor> velocities_;
};

/// The gradient_scale of Optimizer::step() that brings the norm of all gradients together down to `max_norm`:
/// s min(1, max_norm / (norm + 1e-6)); s where max_norm is 0, which means no limit. The gradients are s =
/// `gradient_scale` times what the parameters hold, such as 1/n of the sum over n backward passes; `norm`
/// receives their norm before clipping. Throws Error where max_norm is negative, where s is negative or not
/// finite, or where the norm is not finite, with the parameter it comes from.
double clip_scale(const std::vector<NamedParameter>& parameters, double max_norm, double* norm = nullptr,
                  double gradient_scale = 1);
/// The same without the gradients of frozen groups.
double clip_scale(const std::vector<ParameterGroup>& groups, double max_norm, double* norm = nullptr,
                  double gradient_scale = 1);
/// The scale of clip_scale() as float64 [] on the parameters' device, for Optimizer::step(), and the norm as
/// another: nobody waits for them. Throws Error where there are no gradients, and as device_clip_scale() of
/// engine/ops.h does: a norm that is not finite is reported when the device is next waited for.
Tensor device_clip_scale(const std::vector<ParameterGroup>& groups, double max_norm,
                         double gradient_scale = 1, Tensor* norm = nullptr);

}  // namespace haze

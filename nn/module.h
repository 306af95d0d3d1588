#pragma once

#include <string>
#include <utility>
#include <vector>

#include "haze/autograd/ops.h"

namespace haze {

/// A parameter and its full name, such as "blocks.3.attention.qkv.weight".
struct NamedParameter {
  std::string name;
  Variable* variable;
};

/// A buffer and its full name.
struct NamedBuffer {
  std::string name;
  Tensor* tensor;
};

/// A part of a network that owns parameters, buffers and other modules. A buffer is state that training does
/// not step, decay or average, such as the statistics of past batches; it is saved with the parameters. A
/// module stays where it was made: it is neither copied nor moved, since its parent knows it by address.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// All parameters below this module, in the order of registration, depth first. One that is registered
  /// twice (tied weights) is listed once, under its first name.
  std::vector<NamedParameter> parameters();
  /// All buffers below this module, in the same order.
  std::vector<NamedBuffer> buffers();
  /// Number of elements of all parameters.
  int64_t parameter_count();
  void clear_gradients();
  /// Converts every parameter (float64 for gradient checks) and every floating buffer. Forgets gradients.
  void to(Dtype dtype);
  /// Moves parameters, buffers and constants to a device. Forgets gradients; optimizers and averages are made
  /// afterwards, since they lie where the parameters do.
  void to(Device device);
  /// The device of the parameters; the cpu if there are none.
  Device device() const;

 protected:
  /// Registers `parameter`, a member of the derived class, with its first value.
  void add_parameter(std::string name, Variable& parameter, Tensor value);
  /// Registers a parameter that another module owns as well: the two are tied. The owner must outlive this
  /// module.
  void tie_parameter(std::string name, Variable& parameter);
  /// Registers `buffer`, a member of the derived class, with its first value, of any dtype. Loading writes
  /// into its storage, so its shape and dtype stay. Throws Error if the first value is undefined.
  void add_buffer(std::string name, Tensor& buffer, Tensor value);
  /// As add_buffer(), for state that the host counts: it stays on the cpu.
  void add_host_buffer(std::string name, Tensor& buffer, Tensor value);
  /// Registers `constant`, a member of the derived class that follows from the module's settings, such as a
  /// table: it goes where the parameters go, and is not saved.
  void add_constant(Tensor& constant) { constants_.push_back(&constant); }
  /// Registers `child`, a member of the derived class. With an empty name, its parameters and buffers are
  /// named as if they were this module's own.
  void add_module(std::string name, Module& child);

 private:
  void collect(const std::string& prefix, std::vector<NamedParameter>& parameters,
               std::vector<NamedBuffer>& buffers);

  std::vector<std::pair<std::string, Variable*>> parameters_;
  std::vector<std::pair<std::string, Tensor*>> buffers_;
  std::vector<Tensor*> constants_;     // go where the parameters go, and are not saved
  std::vector<Tensor*> host_buffers_;  // of buffers_, those that stay on the cpu
  std::vector<std::pair<std::string, Module*>> children_;
};

}  // namespace haze

#pragma once

#include <vector>

#include "haze/nn/named_tensors.h"

namespace haze {

/// Exponential moving average of parameters, in float32 whatever the parameters' dtype. It keeps pointers to
/// the parameters, so the module must outlive it.
class Ema {
 public:
  /// Starts at the parameters' present values. Throws Error where decay is outside [0, 1), or becomes
  /// 1, or 0 without being 0, in the averages' float32.
  Ema(std::vector<NamedParameter> parameters, double decay);
  Ema(const Ema&) = delete;
  Ema& operator=(const Ema&) = delete;

  /// average = d average + (1 - d) value with d = min(decay, (1 + n) / (10 + n)), n the number of updates
  /// before this one: the start is forgotten quickly.
  void update();
  int64_t updates() const { return *updates_.data<int32_t>(); }

  /// The averages under their parameters' names; shared with this object, float32.
  NamedTensors averages() const;
  /// Copies the averages into the parameters of a module of the same names and shapes; throws Error where
  /// they are not the same.
  void copy_to(Module& module) const;

  /// The averages, and the number of updates as "ema.updates"; shared with this object.
  NamedTensors state() const;
  /// Takes over a state. Throws Error, with `source_name` and all names that do not fit, before anything
  /// changes.
  void load_state(const NamedTensors& state, std::string_view source_name = "the state of the averages");

 private:
  friend class EmaScope;

  std::vector<NamedParameter> parameters_;
  double decay_;
  std::vector<Tensor> averages_;
  Tensor updates_;  // int32 []
};

/// While one of these lives, the parameters hold their averages; then their own values again, bit for bit.
class EmaScope {
 public:
  explicit EmaScope(const Ema& ema);
  ~EmaScope();
  EmaScope(const EmaScope&) = delete;
  EmaScope& operator=(const EmaScope&) = delete;

 private:
  const Ema& ema_;
  std::vector<Tensor> values_;
};

}  // namespace haze

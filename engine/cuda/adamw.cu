#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/ops/adamw.h"

// One thread makes the factors of the step out of numbers that may lie on the device, which the host cannot
// read. Then a launch for each parameter applies them: a thread has an element.
namespace haze::HAZE_KERNELS {
namespace {

/// The factors of one step that its numbers make, in float64.
struct Factors {
  double gradient_scale;     // NaN where the step changes nothing
  double second_correction;  // 1 / (1 - beta2^step)
  double step_size;          // learning rate / (1 - beta1^step)
  double keep;               // 1 - learning rate x weight decay
};

/// A number on the device, float or double, or one of the host's where both are null.
struct Number {
  const float* single;
  const double* wide;
  double host;

  Number(const Tensor& on_device, double otherwise) : single(nullptr), wide(nullptr), host(otherwise) {
    if (!on_device.defined()) return;
    if (on_device.dtype() == Dtype::float32) {
      single = elements_of<const float>(on_device);
    } else {
      wide = elements_of<const double>(on_device);
    }
  }
  __device__ double value() const { return single ? static_cast<double>(*single) : wide ? *wide : host; }
};

__global__ void make_factors(Number learning_rate, Number gradient_scale, const int32_t* device_step,
                             int64_t host_step, double beta1, double beta2, double weight_decay,
                             Refuse refuse, Factors* out) {
  const int64_t step = device_step ? *device_step : host_step;
  const double rate = learning_rate.value(), scale = gradient_scale.value();
  // What made the scale so has been reported: the parameters stay as they are.
  const bool finite = std::isfinite(scale);
  if (finite && step < 1) refuse({.value = step});
  *out = {finite && step >= 1 ? scale : std::numeric_limits<double>::quiet_NaN(),
          1 / (1 - std::pow(beta2, static_cast<double>(step))),
          rate / (1 - std::pow(beta1, static_cast<double>(step))), 1 - rate * weight_decay};
}

/// The elements of one parameter.
template <typename T>
struct Slot {
  T* parameter;
  const T* gradient;
  T *first_moment, *second_moment;
  int64_t count;
  bool decay;
};

// Loshchilov and Hutter 2019, algorithm 2, lines 6 to 12.
template <typename T>
__global__ void adamw(Slot<T> slot, const Factors* factors, double beta1, double beta2, double epsilon) {
  const int64_t i = thread_number();
  if (i >= slot.count || std::isnan(factors->gradient_scale)) return;
  const T g = slot.gradient[i] * T(factors->gradient_scale);
  const T m = T(beta1) * slot.first_moment[i] + T(1 - beta1) * g;
  const T v = T(beta2) * slot.second_moment[i] + T(1 - beta2) * g * g;
  slot.first_moment[i] = m;
  slot.second_moment[i] = v;
  const T update = m * T(factors->step_size) / (std::sqrt(v * T(factors->second_correction)) + T(epsilon));
  slot.parameter[i] = slot.parameter[i] * (slot.decay ? T(factors->keep) : T(1)) - update;
}

}  // namespace

template <>
void run_kernels(const call::AdamW& call) {
  const AdamWOptions& o = call.options;
  const Tensor factors({sizeof(Factors) / sizeof(double)}, Dtype::float64, call.slots[0].parameter.device());
  launch_kernel(call.name(), make_factors, {{1}, {1}}, Number(o.device_learning_rate, o.learning_rate),
                Number(o.device_gradient_scale, o.gradient_scale), elements_of<const int32_t>(o.device_step),
                o.step, o.beta1, o.beta2, o.weight_decay,
                Refuse("adamw_step", "{operation}: step {value} counts from 1"),
                elements_of<Factors>(factors));
  for (const AdamWSlot& slot : call.slots) {
    const int64_t count = slot.parameter.elements();
    if (count == 0) continue;
    dispatch_real(slot.parameter.dtype(), [&](auto tag) {
      using T = decltype(tag);
      launch_kernel(
          call.name(), adamw<T>, threads_for(count),
          Slot<T>{elements_of<T>(slot.parameter), elements_of<const T>(slot.gradient),
                  elements_of<T>(slot.first_moment), elements_of<T>(slot.second_moment), count, slot.decay},
          elements_of<const Factors>(factors), o.beta1, o.beta2, o.epsilon);
    });
  }
}

}  // namespace haze::HAZE_KERNELS

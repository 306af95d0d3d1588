#include <cmath>

#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/cuda/vector.h"
#include "haze/engine/ops/adamw.h"

// One thread makes the factors of the step out of numbers that may lie on the device, which the host cannot
// read. Then one launch applies them to a list of parameters: most of a model's are too small to fill a GPU.
// A block has kChunk elements of one parameter, and a thread takes 16 bytes of them at once.
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

constexpr unsigned kThreads = 256;
constexpr int64_t kChunk = 4096;
constexpr int kMostSlots = 64;  // of a launch: with these, the arguments of a kernel are below 4096 bytes

/// The elements of one parameter.
template <typename T>
struct Slot {
  T* parameter;
  const T* gradient;
  T *first_moment, *second_moment;
  int64_t count;
  unsigned first_block;
  bool decay, is_aligned;
};

template <typename T>
struct Slots {
  int count = 0;
  unsigned blocks = 0;
  Slot<T> of[kMostSlots];

  bool is_full() const { return count == kMostSlots; }
  void add(const AdamWSlot& slot) {
    bool aligned = true;
    for (const Tensor* x : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      aligned = aligned && is_aligned(*x);
    }
    const int64_t elements = slot.parameter.elements();
    of[count++] = {elements_of<T>(slot.parameter),
                   elements_of<const T>(slot.gradient),
                   elements_of<T>(slot.first_moment),
                   elements_of<T>(slot.second_moment),
                   elements,
                   blocks,
                   slot.decay,
                   aligned};
    blocks += static_cast<unsigned>((elements + kChunk - 1) / kChunk);
  }
};

/// The numbers of a step in T; rest1 is 1 - beta1.
template <typename T>
struct Step {
  T gradient_scale, beta1, rest1, beta2, rest2, second_correction, step_size, epsilon, keep;
};

// Loshchilov and Hutter 2019, algorithm 2, lines 6 to 12, for the elements of a slot from `first` on.
template <int kWidth, typename T>
__device__ void update(const Slot<T>& slot, int64_t first, const Step<T>& step) {
  const int64_t end = first + kChunk < slot.count ? first + kChunk : slot.count;
  for (int64_t i = first + threadIdx.x * kWidth; i < end; i += kThreads * kWidth) {
    const int64_t left = slot.count - i;
    const Vector<T, kWidth> gradient = load_up_to<kWidth>(slot.gradient + i, left);
    Vector<T, kWidth> first_moment = load_up_to<kWidth>(slot.first_moment + i, left),
                      second_moment = load_up_to<kWidth>(slot.second_moment + i, left),
                      parameter = load_up_to<kWidth>(slot.parameter + i, left);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const T g = gradient.of[k] * step.gradient_scale;
      const T m = step.beta1 * first_moment.of[k] + step.rest1 * g;
      const T v = step.beta2 * second_moment.of[k] + step.rest2 * g * g;
      first_moment.of[k] = m;
      second_moment.of[k] = v;
      const T change = m * step.step_size / (std::sqrt(v * step.second_correction) + step.epsilon);
      parameter.of[k] = parameter.of[k] * step.keep - change;
    }
    store_up_to(slot.first_moment + i, first_moment, left);
    store_up_to(slot.second_moment + i, second_moment, left);
    store_up_to(slot.parameter + i, parameter, left);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    adamw(Slots<T> slots, const Factors* factors, double beta1, double beta2, double epsilon) {
  if (std::isnan(factors->gradient_scale)) return;
  int number = 0;
  while (number + 1 < slots.count && slots.of[number + 1].first_block <= blockIdx.x) ++number;
  const Slot<T>& slot = slots.of[number];
  const Step<T> step{T(factors->gradient_scale),
                     T(beta1),
                     T(1 - beta1),
                     T(beta2),
                     T(1 - beta2),
                     T(factors->second_correction),
                     T(factors->step_size),
                     T(epsilon),
                     slot.decay ? T(factors->keep) : T(1)};
  const int64_t first = (blockIdx.x - slot.first_block) * kChunk;
  if (slot.is_aligned) {
    update<kWidest<T>>(slot, first, step);
  } else {
    update<1>(slot, first, step);
  }
}

/// Applies the factors to the slots of dtype T.
template <typename T>
void update_slots(const call::AdamW& call, const Tensor& factors) {
  const AdamWOptions& o = call.options;
  Slots<T> slots;
  const auto launch = [&] {
    if (slots.blocks == 0) return;
    launch_kernel(call.name(), adamw<T>, {{slots.blocks}, {kThreads}}, slots,
                  elements_of<const Factors>(factors), o.beta1, o.beta2, o.epsilon);
    slots = {};
  };
  for (const AdamWSlot& slot : call.slots) {
    if (slot.parameter.dtype() != dtype_of<T>() || slot.parameter.elements() == 0) continue;
    slots.add(slot);
    if (slots.is_full()) launch();
  }
  launch();
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
  update_slots<float>(call, factors);
  update_slots<double>(call, factors);
}

}  // namespace haze::HAZE_KERNELS

#include <cmath>

#include "haze/engine/cuda/block_list.h"
#include "haze/engine/cuda/gpu.h"
#include "haze/engine/cuda/refuse.h"
#include "haze/engine/ops/adamw.h"

// One thread makes the factors of the step out of numbers that may lie on the device, which the host cannot
// read. Then one launch applies them to a list of parameters: most of a model's are too small to fill a GPU.
// A block has kListChunk elements of one parameter, and a thread takes 16 bytes of them at once.
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

/// The elements of one parameter.
template <typename T>
struct Slot {
  T* parameter;
  const T* gradient;
  T *first_moment, *second_moment;
  int64_t count;
  bool decay, in_vectors;

  Slot() = default;
  explicit Slot(const AdamWSlot& slot)
      : parameter(elements_of<T>(slot.parameter)),
        gradient(elements_of<const T>(slot.gradient)),
        first_moment(elements_of<T>(slot.first_moment)),
        second_moment(elements_of<T>(slot.second_moment)),
        count(slot.parameter.elements()),
        decay(slot.decay),
        in_vectors(is_aligned(slot.parameter) && is_aligned(slot.gradient) && is_aligned(slot.first_moment) &&
                   is_aligned(slot.second_moment)) {}
};

template <typename T>
using Slots = BlockList<Slot<T>, 64>;

/// The numbers of a step in T; rest1 is 1 - beta1.
template <typename T>
struct Step {
  T gradient_scale, beta1, rest1, beta2, rest2, second_correction, step_size, epsilon, keep;
};

// Loshchilov and Hutter 2019, algorithm 2, lines 6 to 12, for the elements of a slot from `first` on.
template <int kWidth, typename T>
__device__ void update(const Slot<T>& slot, int64_t first, const Step<T>& step) {
  const int64_t end = first + kListChunk < slot.count ? first + kListChunk : slot.count;
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
  const int number = slots.own_item();
  const Slot<T>& slot = slots.items[number];
  const Step<T> step{T(factors->gradient_scale),
                     T(beta1),
                     T(1 - beta1),
                     T(beta2),
                     T(1 - beta2),
                     T(factors->second_correction),
                     T(factors->step_size),
                     T(epsilon),
                     slot.decay ? T(factors->keep) : T(1)};
  const int64_t first = slots.own_chunk(number);
  if (slot.in_vectors) {
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
    slots.add(Slot<T>(slot), slot.parameter.elements());
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

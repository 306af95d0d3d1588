#include "haze/engine/ops/adamw.h"

#include <algorithm>
#include <cmath>

#include "haze/engine/cpu/adamw_span.h"
#include "haze/engine/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "haze/engine/cpu/adamw.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace haze {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Loshchilov and Hutter 2019, algorithm 2, lines 6 to 12.
template <typename T>
void AdamWSpan(T* parameter, const T* gradient, T* first_moment, T* second_moment, int64_t count,
               const AdamWFactors<T>& f) {
  const auto step = [&](auto d, int64_t i) HWY_ATTR {
    const auto g = hn::Mul(hn::LoadU(d, gradient + i), hn::Set(d, f.gradient_scale));
    const auto m = hn::MulAdd(hn::Set(d, f.beta1), hn::LoadU(d, first_moment + i),
                              hn::Mul(hn::Set(d, f.one_minus_beta1), g));
    const auto v = hn::MulAdd(hn::Set(d, f.beta2), hn::LoadU(d, second_moment + i),
                              hn::Mul(hn::Mul(hn::Set(d, f.one_minus_beta2), g), g));
    hn::StoreU(m, d, first_moment + i);
    hn::StoreU(v, d, second_moment + i);
    const auto root = hn::Sqrt(hn::Mul(v, hn::Set(d, f.second_correction)));
    const auto update = hn::Div(hn::Mul(m, hn::Set(d, f.step_size)), hn::Add(root, hn::Set(d, f.epsilon)));
    const auto decayed = hn::Mul(hn::LoadU(d, parameter + i), hn::Set(d, f.keep));
    hn::StoreU(hn::Sub(decayed, update), d, parameter + i);
  };
  const hn::ScalableTag<T> d;
  const auto n = static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + n <= count; i += n) step(d, i);
  const hn::CappedTag<T, 1> one;
  for (; i < count; ++i) step(one, i);
}

AdamWFunction<float> AdamWFloat() {
  return AdamWSpan<float>;
}
AdamWFunction<double> AdamWDouble() {
  return AdamWSpan<double>;
}

}  // namespace HWY_NAMESPACE
}  // namespace haze
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace haze {

HWY_EXPORT(AdamWFloat);
HWY_EXPORT(AdamWDouble);

namespace {

template <typename T>
AdamWFactors<T> factors(const AdamWOptions& o, bool decay) {
  const double first_correction = 1 - std::pow(o.beta1, static_cast<double>(o.step));
  const double second_correction = 1 - std::pow(o.beta2, static_cast<double>(o.step));
  return {static_cast<T>(o.gradient_scale),
          static_cast<T>(o.beta1),
          static_cast<T>(1 - o.beta1),
          static_cast<T>(o.beta2),
          static_cast<T>(1 - o.beta2),
          static_cast<T>(1 / second_correction),
          static_cast<T>(o.learning_rate / first_correction),
          static_cast<T>(o.epsilon),
          static_cast<T>(decay ? 1 - o.learning_rate * o.weight_decay : 1)};
}

/// The options with the numbers that lie on the device.
AdamWOptions read_numbers(AdamWOptions o) {
  const auto read = [](const Tensor& number, double& into) {
    if (!number.defined()) return;
    into = dispatch_real(number.dtype(),
                         [&](auto tag) { return static_cast<double>(*number.data<decltype(tag)>()); });
  };
  read(o.device_learning_rate, o.learning_rate);
  read(o.device_gradient_scale, o.gradient_scale);
  if (o.device_step.defined()) o.step = *o.device_step.data<int32_t>();
  return o;
}

/// A chunk of one parameter's elements: those from `first` on, kChunk at most.
constexpr int64_t kChunk = 16384;

int64_t chunks_of(const AdamWSlot& slot) {
  return (slot.parameter.elements() + kChunk - 1) / kChunk;
}

void step_chunk(const AdamWSlot& slot, const AdamWOptions& options, int64_t chunk) {
  dispatch_real(slot.parameter.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const AdamWFactors<T> f = factors<T>(options, slot.decay);
    AdamWFunction<T> span;
    if constexpr (std::is_same_v<T, double>) {
      span = HWY_DYNAMIC_DISPATCH(AdamWDouble)();
    } else {
      span = HWY_DYNAMIC_DISPATCH(AdamWFloat)();
    }
    const int64_t first = chunk * kChunk, count = std::min(kChunk, slot.parameter.elements() - first);
    span(slot.parameter.data<T>() + first, slot.gradient.data<T>() + first,
         slot.first_moment.data<T>() + first, slot.second_moment.data<T>() + first, count, f);
  });
}

}  // namespace

// The threads are started once: the chunks of all parameters are numbered through. Those of biases are short.
void call::AdamW::run(Cpu) const {
  const AdamWOptions numbers = read_numbers(options);
  // What made it so has been reported, though perhaps not thrown yet: the parameters stay as they are.
  if (!std::isfinite(numbers.gradient_scale)) return;
  if (numbers.step < 1) fail("adamw_step: step {} counts from 1", numbers.step);
  int64_t chunks = 0;
  for (const AdamWSlot& slot : slots) chunks += chunks_of(slot);
  parallel_for_uneven(chunks, true, [&](int64_t number) {
    for (const AdamWSlot& slot : slots) {
      if (number < chunks_of(slot)) return step_chunk(slot, numbers, number);
      number -= chunks_of(slot);
    }
  });
}

}  // namespace haze
#endif

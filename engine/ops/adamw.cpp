#include "haze/engine/ops/adamw.h"

#include <algorithm>
#include <functional>
#include <vector>

#include "haze/engine/checks.h"

namespace haze {
namespace {

void check_options(const AdamWOptions& options) {
  if (options.device_step.defined()) {
    check_dtype("adamw_step", "device_step", options.device_step, Dtype::int32);
    check_shape("adamw_step", "device_step", options.device_step, {});
  } else if (options.step < 1) {
    fail("adamw_step: step {} counts from 1", options.step);
  }
  const auto check_number = [](const char* what, const Tensor& number) {
    if (!number.defined()) return;
    check_real("adamw_step", what, number);
    check_shape("adamw_step", what, number, {});
  };
  check_number("device_learning_rate", options.device_learning_rate);
  check_number("device_gradient_scale", options.device_gradient_scale);
}

// Throws where something that the step writes to overlaps anything else.
void check_apart(std::span<const AdamWSlot> slots) {
  struct Range {
    const char *first, *last;
    bool written;
  };
  std::vector<Range> ranges;
  ranges.reserve(4 * slots.size());
  for (const AdamWSlot& slot : slots) {
    for (const Tensor* x : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      const auto* first = static_cast<const char*>(x->address());
      const int64_t bytes = x->elements() * static_cast<int64_t>(size_of(x->dtype()));
      if (bytes > 0) ranges.push_back({first, first + bytes, x != &slot.gradient});
    }
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return std::less<>()(a.first, b.first); });
  const char *end = nullptr, *written_end = nullptr;  // of all before, and of the written ones among them
  for (const Range& range : ranges) {
    if (std::less<>()(range.first, range.written ? end : written_end)) {
      fail("adamw_step: a parameter or a moment shares memory with another tensor of the step");
    }
    end = std::max(end, range.last, std::less<>());
    if (range.written) written_end = std::max(written_end, range.last, std::less<>());
  }
}

}  // namespace

void adamw_step(std::span<const AdamWSlot> slots, const AdamWOptions& options) {
  check_options(options);
  if (slots.empty()) return;
  for (const AdamWSlot& slot : slots) {
    check_real("adamw_step", "parameter", slot.parameter);
    for (const Tensor* tensor : {&slot.parameter, &slot.gradient, &slot.first_moment, &slot.second_moment}) {
      check_same_dtype("adamw_step", slot.parameter, *tensor);
      check_shape("adamw_step", "gradient and moments", *tensor, slot.parameter.shape());
      if (!tensor->is_contiguous()) fail("adamw_step: parameter, gradient and moments must be dense");
    }
  }
  check_apart(slots);
  launch(call::AdamW{{slots.begin(), slots.end()}, options});
}

}  // namespace haze

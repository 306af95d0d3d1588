#include "haze/engine/ops/creation.h"

#include "haze/engine/cpu/strided.h"

namespace haze {

void call::Fill::run(Cpu) const {
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const StridedLayout<1> layout(out.shape(), {&out});
    const int64_t step = layout.inner_stride(0);
    const T converted_value = converted<T>(value);
    for_each_run(layout, [&](const std::array<int64_t, 1>& at, int64_t count) {
      T* target = out.data<T>() + at[0];
      for (int64_t i = 0; i < count; ++i) target[i * step] = converted_value;
    });
  });
}

void call::Arange::run(Cpu) const {
  dispatch(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    T* values = out.data<T>();
    for (int64_t i = 0; i < out.elements(); ++i) values[i] = converted<T>(i);
  });
}

}  // namespace haze

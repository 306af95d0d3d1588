#include "haze/engine/ops/logic.h"

#include "haze/engine/cpu/strided.h"

namespace haze {

void call::Logic::run(Cpu) const {
  const StridedLayout<3> layout(out.shape(), {&x, &y, &out});
  const int64_t x_step = layout.inner_stride(0), y_step = layout.inner_stride(1);
  const auto each = [&](auto holds) {
    for_each_run(layout, [&](const std::array<int64_t, 3>& at, int64_t count) {
      const uint8_t* xs = x.data<uint8_t>() + at[0];
      const uint8_t* ys = y.data<uint8_t>() + at[1];
      uint8_t* __restrict result = out.data<uint8_t>() + at[2];
      for (int64_t i = 0; i < count; ++i) result[i] = holds(xs[i * x_step] != 0, ys[i * y_step] != 0);
    });
  };
  switch (op) {
    case LogicOp::logical_and:
      return each([](bool a, bool b) { return a & b; });
    case LogicOp::logical_or:
      return each([](bool a, bool b) { return a | b; });
    case LogicOp::logical_xor:
      return each([](bool a, bool b) { return a != b; });
  }
}

}  // namespace haze

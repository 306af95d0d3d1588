#include "haze/autograd/rules.h"

// Copies: every rule is the adjoint map, which is again an operation of views or copies.
namespace haze {
Variable contiguous(const Variable& x) {
  if (x.value().is_contiguous()) return x;
  // d(x) = dx
  return Tape::record("contiguous", contiguous(x.value()), {x},
                      [](const Variable& g) { return Gradients{g}; });
}

Variable cast(const Variable& x, Dtype dtype) {
  if (x.dtype() == dtype) return x;
  Tensor value = cast(x.value(), dtype);
  if (!is_floating(dtype)) return Variable(std::move(value));
  // d(x) = dx; a gradient of bfloat16 stays in float32 and is rounded once, at its end
  return Tape::record(
      "cast", std::move(value), {x},
      [dtype = wide_dtype(x.dtype())](const Variable& g) { return Gradients{cast(g, dtype)}; },
      wide_dtype(dtype));
}

Variable concat(const std::vector<Variable>& parts, int axis) {
  std::vector<Tensor> values;
  values.reserve(parts.size());
  for (const Variable& part : parts) values.push_back(part.value());
  Tensor value = concat(std::span<const Tensor>(values), axis);
  std::vector<int64_t> sizes;
  sizes.reserve(parts.size());
  for (const Variable& part : parts) sizes.push_back(part.size(axis));
  // d(concat(x, y)) = concat(dx, dy): each part gets its slice
  return Tape::record("concat", std::move(value), parts, [axis, sizes = std::move(sizes)](const Variable& g) {
    Gradients gradients(sizes.size());
    int64_t first = 0;
    for (size_t i = 0; i < sizes.size(); first += sizes[i++]) {
      if (needed(i)) gradients[i] = slice(g, axis, first, first + sizes[i]);
    }
    return gradients;
  });
}

Variable pad(const Variable& x, int axis, int64_t before, int64_t after, double value) {
  // x gets its slice of g
  return Tape::record("pad", pad(x.value(), axis, before, after, value), {x},
                      [=, count = x.size(axis)](const Variable& g) {
                        return Gradients{slice(g, axis, before, before + count)};
                      });
}

}  // namespace haze

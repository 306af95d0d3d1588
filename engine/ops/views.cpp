#include <algorithm>

#include "haze/engine/checks.h"

// Views: none of these copies elements, but reshape where the strides do not allow a view.
namespace haze {
namespace {

Tensor view(const Tensor& x, const Shape& shape, const Shape& strides, int64_t offset) {
  return Tensor(x.storage(), shape, strides, offset, x.dtype(), x.device());
}

Shape resolved_shape(const Tensor& x, const Shape& shape) {
  Shape result = shape;
  int unknown = -1;
  for (int i = 0; i < shape.rank() && unknown < 0; ++i) {
    if (shape[i] == -1) unknown = i;
  }
  if (unknown >= 0) {
    result[unknown] = 1;
    const int64_t known = result.countable() ? result.elements() : 0;
    result[unknown] = known > 0 ? x.elements() / known : -1;
  }
  if (!result.countable() || result.elements() != x.elements()) {
    fail("reshape: shape {} does not hold the {} elements of shape {}", shape.to_string(), x.elements(),
         x.shape().to_string());
  }
  return result;
}

// Strides that show the elements of x in `shape`, where splitting and merging axes allows it.
bool strides_for(const Tensor& x, const Shape& shape, Shape& strides) {
  strides = contiguous_strides(shape);
  if (x.elements() == 0) return true;
  int from = 0, to = 0;
  while (from < x.rank() || to < shape.rank()) {
    // The shortest runs of axes on both sides that hold equally many elements.
    int64_t have = from < x.rank() ? x.size(from) : 1, want = to < shape.rank() ? shape[to] : 1;
    int from_end = std::min(from + 1, x.rank()), to_end = std::min(to + 1, shape.rank());
    while (have != want) {
      if (have < want) {
        have *= x.size(from_end++);
      } else {
        want *= shape[to_end++];
      }
    }
    int64_t step = 1;
    bool first = true;
    for (int i = from_end - 1; i >= from; --i) {  // the run on x's side must be evenly spaced
      if (x.size(i) == 1) continue;
      if (!first && x.stride(i) != step) return false;
      step = x.stride(i) * x.size(i);
      first = false;
    }
    int64_t unit = 1;
    for (int i = from_end - 1; i >= from; --i) {
      if (x.size(i) != 1) {
        unit = x.stride(i);
        break;
      }
    }
    for (int i = to_end - 1; i >= to; --i) {
      strides[i] = unit;
      unit *= shape[i];
    }
    from = from_end;
    to = to_end;
  }
  return true;
}

}  // namespace

Tensor reshape(const Tensor& x, const Shape& shape) {
  check_defined("reshape", "x", x);
  const Shape resolved = resolved_shape(x, shape);
  Shape strides;
  if (!strides_for(x, resolved, strides)) return reshape(clone(x), resolved);
  return view(x, resolved, strides, x.offset());
}

Tensor transpose(const Tensor& x, int axis_a, int axis_b) {
  const int a = checked_axis("transpose", x, axis_a), b = checked_axis("transpose", x, axis_b);
  Shape shape = x.shape(), strides = x.strides();
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return view(x, shape, strides, x.offset());
}

Tensor permute(const Tensor& x, const Shape& axes) {
  check_defined("permute", "x", x);
  Shape shape = x.shape(), strides = x.strides();
  uint32_t seen = 0;
  bool valid = axes.rank() == x.rank();
  for (int i = 0; valid && i < axes.rank(); ++i) {
    const int64_t axis = axes[i] < 0 ? axes[i] + x.rank() : axes[i];
    valid = axis >= 0 && axis < x.rank() && !(seen >> axis & 1u);
    if (!valid) break;
    seen |= 1u << axis;
    shape[i] = x.size(static_cast<int>(axis));
    strides[i] = x.stride(static_cast<int>(axis));
  }
  if (!valid)
    fail("permute: {} is no order of the axes of shape {}", axes.to_string(), x.shape().to_string());
  return view(x, shape, strides, x.offset());
}

Tensor slice(const Tensor& x, int axis, int64_t first, int64_t last, int64_t step) {
  const int a = checked_axis("slice", x, axis);
  if (first < 0 || last < first || last > x.size(a) || step < 1) {
    fail("slice: {}..{} by {} is outside axis {} of shape {}", first, last, step, axis,
         x.shape().to_string());
  }
  Shape shape = x.shape(), strides = x.strides();
  shape[a] = last == first ? 0 : (last - first - 1) / step + 1;
  if (shape[a] > 1) strides[a] *= step;
  return view(x, shape, strides, x.offset() + (shape[a] > 0 ? first * x.stride(a) : 0));
}

Tensor expand(const Tensor& x, const Shape& shape) {
  check_defined("expand", "x", x);
  if (x.shape() == shape) return x;
  const int extra = shape.rank() - x.rank();
  Shape strides = shape;
  for (int i = 0; i < shape.rank(); ++i) {
    const bool own = i >= extra;
    if (extra < 0 || (own && x.size(i - extra) != shape[i] && x.size(i - extra) != 1)) {
      fail("expand: shape {} does not broadcast to {}", x.shape().to_string(), shape.to_string());
    }
    strides[i] = own && x.size(i - extra) == shape[i] ? x.stride(i - extra) : 0;
  }
  return view(x, shape, strides, x.offset());
}

Tensor unsqueeze(const Tensor& x, int axis) {
  check_defined("unsqueeze", "x", x);
  const int a = axis < 0 ? axis + x.rank() + 1 : axis;
  if (a < 0 || a > x.rank()) fail("unsqueeze: axis {} is outside shape {}", axis, x.shape().to_string());
  Shape shape, strides;
  for (int i = 0; i <= x.rank(); ++i) {
    if (i == a) {
      shape.append(1);
      strides.append(1);
    }
    if (i == x.rank()) break;
    shape.append(x.size(i));
    strides.append(x.stride(i));
  }
  return view(x, shape, strides, x.offset());
}

}  // namespace haze

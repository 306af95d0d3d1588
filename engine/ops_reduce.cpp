#include <cmath>
#include <limits>

#include "haze/engine/backend.h"
#include "haze/engine/checks.h"

// Reductions, softmax and norms of ops.h.
namespace haze {
namespace {

const char* name(ReduceOp op) {
  static constexpr const char* kNames[] = {"sum", "mean", "max", "min", "logsumexp", "variance"};
  static_assert(std::size(kNames) == static_cast<size_t>(ReduceOp::kCount));
  return kNames[static_cast<size_t>(op)];
}

// One bit an axis.
uint32_t axes_to_bits(const char* operation, const Tensor& x, const Shape& axes) {
  if (axes.rank() == 0) return (1u << x.rank()) - 1;
  uint32_t bits = 0;
  for (int64_t axis : axes) {
    const uint32_t bit = 1u << checked_axis(operation, x, axis);
    if (bits & bit) fail("{}: axis {} is named twice", operation, axis);
    bits |= bit;
  }
  return bits;
}

// x as a dense [outer, count, inner] whose middle axis runs over the reduced axes. Where these do not lie
// side by side, x is copied with them at the end.
Tensor reduced_axes_together(const Tensor& x, uint32_t reduced) {
  Shape kept_then_reduced;
  int changes = 0;
  bool previous = false;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool now = reduced >> axis & 1u;
    if (x.size(axis) != 1 && now != previous) {
      ++changes;
      previous = now;
    }
  }
  int64_t outer = 1, count = 1, inner = 1;
  if (changes <= 2) {   // kept..., reduced..., kept...
    bool seen = false;  // a reduced axis of more than one element
    for (int axis = 0; axis < x.rank(); ++axis) {
      if (reduced >> axis & 1u) {
        count *= x.size(axis);
        seen |= x.size(axis) != 1;
      } else {
        (seen ? inner : outer) *= x.size(axis);
      }
    }
    return reshape(contiguous(x), {outer, count, inner});
  }
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!(reduced >> axis & 1u)) {
      kept_then_reduced.append(axis);
      outer *= x.size(axis);
    }
  }
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (reduced >> axis & 1u) {
      kept_then_reduced.append(axis);
      count *= x.size(axis);
    }
  }
  return reshape(contiguous(permute(x, kept_then_reduced)), {outer, count, 1});
}

Shape without_axes(const Tensor& x, uint32_t reduced, bool keep) {
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!(reduced >> axis & 1u)) {
      shape.append(x.size(axis));
    } else if (keep) {
      shape.append(1);
    }
  }
  return shape;
}

}  // namespace

Tensor reduce(ReduceOp op, const Tensor& x, const Shape& axes, bool keep_axes, double correction) {
  check_real(name(op), "x", x);
  const uint32_t reduced = axes_to_bits(name(op), x, axes);
  const Tensor together = reduced_axes_together(x, reduced);
  const int64_t count = together.size(1);
  const bool needs_elements = op != ReduceOp::sum && op != ReduceOp::logsumexp;
  const double required = op == ReduceOp::variance ? correction : 0;
  if (needs_elements && static_cast<double>(count) <= required) {
    fail("{}: shape {} has {} elements to reduce", name(op), x.shape().to_string(), count);
  }
  Tensor result(without_axes(x, reduced, keep_axes), x.dtype(), x.device());
  if (result.elements() == 0) return result;
  if (count == 0) {
    fill(result, op == ReduceOp::sum ? 0.0 : -std::numeric_limits<double>::infinity());
    return result;
  }
  backend(x.device()).reduce(op, together, correction, reshape(result, {together.size(0), together.size(2)}));
  return result;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  check_real("sum_to", "x", x);
  if (x.shape() == shape) return x;
  if (!(broadcast_shape(x.shape(), shape, "sum_to") == x.shape())) {
    fail("sum_to: shape {} does not broadcast to {}", shape.to_string(), x.shape().to_string());
  }
  const int extra = x.rank() - shape.rank();
  Shape axes;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (axis < extra || (shape[axis - extra] == 1 && x.size(axis) != 1)) axes.append(axis);
  }
  return axes.rank() == 0 ? reshape(x, shape) : reshape(sum(x, axes, true), shape);
}

Tensor argmax(const Tensor& x, int axis) {
  check_real("argmax", "x", x);
  const int a = checked_axis("argmax", x, axis);
  if (x.size(a) == 0) fail("argmax: axis {} of shape {} is empty", axis, x.shape().to_string());
  const Tensor together = as_outer_count_inner(x, a);
  Tensor result(without_axes(x, 1u << a, false), Dtype::int32, x.device());
  backend(x.device()).argmax(together, reshape(result, {together.size(0), together.size(2)}));
  return result;
}

double global_norm(std::span<const Tensor> tensors) {
  double total = 0;
  for (const Tensor& tensor : tensors) {
    check_real("global_norm", "a tensor", tensor);
    total += backend(tensor.device()).sum_of_squares(contiguous(tensor));
  }
  return std::sqrt(total);
}

bool all_finite(const Tensor& x) {
  check_real("all_finite", "x", x);
  return backend(x.device()).all_finite(contiguous(x));
}

namespace {

void check_norm_arguments(const char* operation, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  check_real(operation, "x", x);
  checked_axis(operation, x, -1);
  for (const auto& [argument, tensor] : {std::pair("weight", &weight), std::pair("bias", &bias)}) {
    if (!tensor->defined()) continue;
    check_same_dtype(operation, x, *tensor);
    check_shape(operation, argument, *tensor, {x.size(-1)});
  }
}

NormResult allocate_norm(const Tensor& x, bool with_mean) {
  const int64_t rows = as_rows(x).size(0);
  NormResult result{Tensor(x.shape(), x.dtype(), x.device()), Tensor(),
                    Tensor({rows}, x.dtype(), x.device())};
  if (with_mean) result.mean = Tensor({rows}, x.dtype(), x.device());
  return result;
}

Tensor dense_or_undefined(const Tensor& x) {
  return x.defined() ? contiguous(x) : x;
}

NormResult rows_of(const NormResult& result) {
  return {as_rows(result.output), result.mean, result.rstd};
}

NormGradient allocate_norm_gradient(const char* operation, const Tensor& g, const Tensor& x,
                                    const Tensor& weight, bool bias) {
  check_norm_arguments(operation, x, weight, Tensor());
  check_same_dtype(operation, x, g);
  check_shape(operation, "g", g, x.shape());
  NormGradient result;
  result.x = Tensor(x.shape(), x.dtype(), x.device());
  if (weight.defined()) result.weight = Tensor({x.size(-1)}, x.dtype(), x.device());
  if (bias) result.bias = Tensor({x.size(-1)}, x.dtype(), x.device());
  return result;
}

// What a norm's forward pass saved, checked and dense.
NormResult checked_saved(const char* operation, const Tensor& x, const NormResult& saved, bool with_mean) {
  const Shape rows{as_rows(x).size(0)};
  NormResult result;
  check_same_dtype(operation, x, saved.rstd);
  check_shape(operation, "the saved rstd", saved.rstd, rows);
  result.rstd = contiguous(saved.rstd);
  if (!with_mean) return result;
  check_same_dtype(operation, x, saved.mean);
  check_shape(operation, "the saved mean", saved.mean, rows);
  result.mean = contiguous(saved.mean);
  return result;
}

NormGradient rows_of(const NormGradient& gradient) {
  return {as_rows(gradient.x), gradient.weight, gradient.bias};
}

}  // namespace

NormResult layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double epsilon) {
  check_norm_arguments("layer_norm", x, weight, bias);
  const NormResult result = allocate_norm(x, true);
  backend(x.device())
      .layer_norm(as_rows(x), dense_or_undefined(weight), dense_or_undefined(bias), epsilon, rows_of(result));
  return result;
}

NormGradient layer_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                                 const NormResult& saved, bool bias) {
  const NormGradient result = allocate_norm_gradient("layer_norm_gradient", g, x, weight, bias);
  backend(x.device())
      .layer_norm_gradient(as_rows(g), as_rows(x), dense_or_undefined(weight),
                           checked_saved("layer_norm_gradient", x, saved, true), rows_of(result));
  return result;
}

NormResult rms_norm(const Tensor& x, const Tensor& weight, double epsilon) {
  check_norm_arguments("rms_norm", x, weight, Tensor());
  const NormResult result = allocate_norm(x, false);
  backend(x.device()).rms_norm(as_rows(x), dense_or_undefined(weight), epsilon, rows_of(result));
  return result;
}

NormGradient rms_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight,
                               const NormResult& saved) {
  const NormGradient result = allocate_norm_gradient("rms_norm_gradient", g, x, weight, false);
  backend(x.device())
      .rms_norm_gradient(as_rows(g), as_rows(x), dense_or_undefined(weight),
                         checked_saved("rms_norm_gradient", x, saved, false), rows_of(result));
  return result;
}

namespace {

void check_group_norm(const char* operation, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      int64_t groups) {
  check_real(operation, "x", x);
  if (x.rank() < 2 || groups < 1 || x.size(1) % groups != 0) {
    fail("{}: x has shape {}; it takes [batch, channels, ...] with channels a multiple of {} groups",
         operation, x.shape().to_string(), groups);
  }
  for (const auto& [argument, tensor] : {std::pair("weight", &weight), std::pair("bias", &bias)}) {
    if (!tensor->defined()) continue;
    check_same_dtype(operation, x, *tensor);
    check_shape(operation, argument, *tensor, {x.size(1)});
  }
}

// Each group as a row: [batch groups, channels of a group and the axes behind].
Tensor group_rows(const Tensor& x, int64_t groups) {
  int64_t columns = x.size(1) / groups;
  for (int axis = 2; axis < x.rank(); ++axis) columns *= x.size(axis);
  return reshape(contiguous(x), {x.size(0) * groups, columns});
}

// [channels] as it broadcasts over x.
Tensor per_channel(const Tensor& channels, const Tensor& x) {
  Shape shape{x.size(1)};
  for (int axis = 2; axis < x.rank(); ++axis) shape.append(1);
  return reshape(channels, shape);
}

// x summed over all axes but its channels.
Tensor sum_of_channels(const Tensor& x) {
  Shape axes{0};
  for (int axis = 2; axis < x.rank(); ++axis) axes.append(axis);
  return sum(x, axes);
}

}  // namespace

NormResult group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                      double epsilon) {
  check_group_norm("group_norm", x, weight, bias, groups);
  NormResult result = layer_norm(group_rows(x, groups), Tensor(), Tensor(), epsilon);
  result.output = reshape(result.output, x.shape());
  if (weight.defined()) result.output = multiply(result.output, per_channel(weight, x));
  if (bias.defined()) result.output = add(result.output, per_channel(bias, x));
  return result;
}

NormGradient group_norm_gradient(const Tensor& g, const Tensor& x, const Tensor& weight, int64_t groups,
                                 const NormResult& saved, bool bias) {
  constexpr const char* kName = "group_norm_gradient";
  check_group_norm(kName, x, weight, Tensor(), groups);
  check_same_dtype(kName, x, g);
  check_shape(kName, "g", g, x.shape());
  const Tensor rows = group_rows(x, groups);
  const NormResult statistics = checked_saved(kName, rows, saved, true);
  const Tensor of_output = weight.defined() ? multiply(g, per_channel(weight, x)) : g;
  NormGradient result;
  result.x = reshape(layer_norm_gradient(group_rows(of_output, groups), rows, Tensor(), statistics, false).x,
                     x.shape());
  if (weight.defined()) {
    const Tensor output =
        multiply(subtract(rows, unsqueeze(statistics.mean, 1)), unsqueeze(statistics.rstd, 1));
    result.weight = sum_of_channels(multiply(g, reshape(output, x.shape())));
  }
  if (bias) result.bias = sum_of_channels(g);
  return result;
}

}  // namespace haze

#include "haze/engine/checks.h"

#include <functional>

namespace haze {

int checked_axis(const char* operation, const Tensor& x, int64_t axis) {
  check_defined(operation, "x", x);
  const int64_t resolved = axis < 0 ? axis + x.rank() : axis;
  if (resolved < 0 || resolved >= x.rank()) {
    fail("{}: axis {} is outside a tensor of shape {}", operation, axis, x.shape().to_string());
  }
  return static_cast<int>(resolved);
}

void check_defined(const char* operation, const char* argument, const Tensor& x) {
  if (!x.defined()) fail("{}: {} is an undefined tensor", operation, argument);
}

void check_contiguous(const char* operation, const char* argument, const Tensor& x) {
  if (!x.is_contiguous()) fail("{}: {} must be dense", operation, argument);
}

void check_broadcasts_to(const char* operation, const Tensor& source, const Tensor& target) {
  if (broadcast_shape(target.shape(), source.shape(), operation) == target.shape()) return;
  fail("{}: source of shape {} does not broadcast to target of shape {}", operation,
       source.shape().to_string(), target.shape().to_string());
}

void check_writable(const char* operation, const Tensor& target) {
  for (int axis = 0; target.elements() > 0 && axis < target.rank(); ++axis) {
    if (target.stride(axis) == 0 && target.size(axis) > 1) {
      fail("{}: axis {} of the target repeats its elements; they cannot be written one by one", operation,
           axis);
    }
  }
}

void check_real(const char* operation, const char* argument, const Tensor& x) {
  check_defined(operation, argument, x);
  if (x.dtype() != Dtype::float32 && x.dtype() != Dtype::float64) {
    fail("{}: {} is {}, it takes float32 or float64", operation, argument, name(x.dtype()));
  }
}

void check_floating(const char* operation, const char* argument, const Tensor& x) {
  check_defined(operation, argument, x);
  if (!is_floating(x.dtype())) {
    fail("{}: {} is {}, it takes bfloat16, float32 or float64", operation, argument, name(x.dtype()));
  }
}

void check_floating_or_int32(const char* operation, const char* argument, const Tensor& x) {
  check_defined(operation, argument, x);
  if (!is_floating(x.dtype()) && x.dtype() != Dtype::int32) {
    fail("{}: {} is {}, it takes bfloat16, float32, float64 or int32", operation, argument, name(x.dtype()));
  }
}

void check_dtype(const char* operation, const char* argument, const Tensor& x, Dtype dtype) {
  check_defined(operation, argument, x);
  if (x.dtype() != dtype)
    fail("{}: {} is {}, it takes {}", operation, argument, name(x.dtype()), name(dtype));
}

void check_same_dtype(const char* operation, const Tensor& x, const Tensor& y) {
  check_defined(operation, "the first argument", x);
  check_defined(operation, "the second argument", y);
  if (x.dtype() != y.dtype()) {
    fail("{}: the arguments are {} and {}; cast one of them", operation, name(x.dtype()), name(y.dtype()));
  }
}

void check_shape(const char* operation, const char* argument, const Tensor& x, const Shape& shape) {
  check_defined(operation, argument, x);
  if (!(x.shape() == shape)) {
    fail("{}: {} has shape {}, it takes {}", operation, argument, x.shape().to_string(), shape.to_string());
  }
}

void check_rank(const char* operation, const char* argument, const Tensor& x, int rank) {
  check_defined(operation, argument, x);
  if (x.rank() != rank) {
    fail("{}: {} has shape {}, it takes {} axes", operation, argument, x.shape().to_string(), rank);
  }
}

Shape without_axes(const Tensor& x, uint32_t axes, bool keep) {
  Shape shape;
  for (int axis = 0; axis < x.rank(); ++axis) {
    if (!(axes >> axis & 1u)) {
      shape.append(x.size(axis));
    } else if (keep) {
      shape.append(1);
    }
  }
  return shape;
}

Tensor contiguous_or_undefined(const Tensor& x) {
  return x.defined() ? contiguous(x) : x;
}

Tensor unit_last_stride(const Tensor& x) {
  return x.size(-1) == 1 || x.stride(-1) == 1 ? x : clone(x);
}

Tensor as_outer_count_inner(const Tensor& x, int axis) {
  int64_t outer = 1, inner = 1;
  for (int i = 0; i < axis; ++i) outer *= x.size(i);
  for (int i = axis + 1; i < x.rank(); ++i) inner *= x.size(i);
  return reshape(contiguous(x), {outer, x.size(axis), inner});
}

Tensor as_rows(const Tensor& x) {
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.size(i);
  return reshape(contiguous(x), {rows, x.size(-1)});
}

NormResult checked_saved_norm(const char* operation, const Tensor& rows, const NormResult& saved,
                              bool with_mean) {
  NormResult result;
  const Dtype dtype = wide_dtype(rows.dtype());
  check_dtype(operation, "the saved rstd", saved.rstd, dtype);
  check_shape(operation, "the saved rstd", saved.rstd, {rows.size(0)});
  result.rstd = contiguous(saved.rstd);
  if (!with_mean) return result;
  check_dtype(operation, "the saved mean", saved.mean, dtype);
  check_shape(operation, "the saved mean", saved.mean, {rows.size(0)});
  result.mean = contiguous(saved.mean);
  return result;
}

namespace {

// One past the last byte of x; strides are never negative.
const char* end_of(const Tensor& x) {
  int64_t last = 0;
  for (int axis = 0; axis < x.rank(); ++axis) last += (x.size(axis) - 1) * x.stride(axis);
  return static_cast<const char*>(x.address()) + (last + 1) * static_cast<int64_t>(size_of(x.dtype()));
}

}  // namespace

bool overlap(const Tensor& x, const Tensor& y) {
  if (!x.defined() || !y.defined() || x.elements() == 0 || y.elements() == 0) return false;
  const std::less<const void*> before;
  return x.device() == y.device() && before(x.address(), end_of(y)) && before(y.address(), end_of(x));
}

Tensor disjoint(const Tensor& source, const Tensor& target) {
  return overlap(source, target) ? clone(source) : source;
}

Tensor same_or_disjoint(const Tensor& source, const Tensor& target) {
  const bool same = source.address() == target.address() && source.dtype() == target.dtype() &&
                    source.shape() == target.shape() && source.strides() == target.strides();
  return same ? source : disjoint(source, target);
}

}  // namespace haze

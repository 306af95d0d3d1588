#pragma once

#include "haze/engine/ops.h"

/// Checks that the public operations share. Each throws Error naming the operation.
namespace haze {

/// `axis` counted from the first. Throws where it is outside the rank of x.
int checked_axis(const char* operation, const Tensor& x, int64_t axis);
/// float32 or float64.
void check_real(const char* operation, const char* argument, const Tensor& x);
/// bfloat16, float32 or float64.
void check_floating(const char* operation, const char* argument, const Tensor& x);
void check_floating_or_int32(const char* operation, const char* argument, const Tensor& x);
void check_dtype(const char* operation, const char* argument, const Tensor& x, Dtype dtype);
void check_same_dtype(const char* operation, const Tensor& x, const Tensor& y);
void check_shape(const char* operation, const char* argument, const Tensor& x, const Shape& shape);
void check_rank(const char* operation, const char* argument, const Tensor& x, int rank);
void check_defined(const char* operation, const char* argument, const Tensor& x);
void check_contiguous(const char* operation, const char* argument, const Tensor& x);
/// A value that is written to `target` in place must have its shape, or broadcast to it.
void check_broadcasts_to(const char* operation, const Tensor& source, const Tensor& target);
/// An element of the target may stand for one number only: no axis that expand() repeated.
void check_writable(const char* operation, const Tensor& target);
/// The shape of x without the axes whose bits are set, or with extents of 1 in their place.
Shape without_axes(const Tensor& x, uint32_t axes, bool keep);
/// Contiguous, as [product of the axes before, extent of the axis, product of the axes after]. Copies only
/// where x is not contiguous.
Tensor as_outer_count_inner(const Tensor& x, int axis);
/// Contiguous, or undefined where x is.
Tensor contiguous_or_undefined(const Tensor& x);
/// A view whose last axis has stride 1; copies only where x is none.
Tensor unit_last_stride(const Tensor& x);
/// Contiguous, as [product of all axes but the last, last].
Tensor as_rows(const Tensor& x);

/// The mean and rstd that a norm of `rows`, [rows, columns], saved in its forward pass: checked, and
/// contiguous.
NormResult checked_saved_norm(const char* operation, const Tensor& rows, const NormResult& saved,
                              bool with_mean);
/// Whether the two overlap in memory, each from its first element to its last. Views that interleave without
/// a common element count as overlapping.
bool overlap(const Tensor& x, const Tensor& y);
/// `source`, copied where it overlaps `target`: for kernels that write `target` before they have read all of
/// `source`.
Tensor disjoint(const Tensor& source, const Tensor& target);
/// `source`, copied if it overlaps `target` and is another view. For kernels that write each element of
/// `target` after reading the element of `source` at the same position.
Tensor same_or_disjoint(const Tensor& source, const Tensor& target);

}  // namespace haze

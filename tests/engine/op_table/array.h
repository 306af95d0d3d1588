#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "haze/engine/shape.h"

/// The naive float64 implementation that the operation table holds the engine against. Written from the
/// definitions with plain loops; nothing here calls the engine's kernels.
namespace haze::reference {

/// A dense row-major array of float64, and how far off the engine may be.
///
/// How far: the engine's result is right where |result - value| <= u error, with u the unit roundoff of the
/// dtype it computes in: 2^-24 for float32 and bfloat16; for float64 2^-52, because there the reference is as
/// far off as the engine. A bfloat16 result must be what a number of that interval is rounded to. An error of
/// 0 asks for the exact value. Each reference computes `error` by running
/// error analysis (Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.3): one unit
/// times the magnitude for each rounding, kElementary units for each elementary function, the condition
/// number of the formula that ops.h names times what came before, and rounding_of_sum() for a sum.
struct Array {
  Array() = default;
  explicit Array(const Shape& extents, double value = 0)
      : shape(extents),
        values(static_cast<size_t>(extents.elements()), value),
        error(static_cast<size_t>(extents.elements()), 0.0) {}

  Shape shape;
  std::vector<double> values;
  std::vector<double> error;
};

/// Units of an elementary function: two units in the last place.
inline constexpr double kElementary = 4;

/// Units that a sum of `count` terms may be off, to be multiplied by the sum of the terms' magnitudes. Each
/// term may carry two roundings of its own; the additions' roundings are independent, so they grow with the
/// root of their number, twice of which they pass with a probability below 1e-6 (Higham and Mary 2019, "A new
/// approach to probabilistic rounding error analysis").
inline double rounding_of_sum(int64_t count) {
  return 2 + 2 * std::sqrt(static_cast<double>(count));
}

/// As rounding_of_sum for terms that are added one after the other, as ops.h says of some operations: where
/// they are equal, every addition may round the same way (Higham 2002, equation 4.4).
inline double rounding_of_ordered_sum(int64_t count) {
  return 1 + static_cast<double>(count);
}

/// What sums are added in, so that the reference's own rounding does not count.
using Sum = long double;

/// The index of element `number` in row-major order.
inline Shape index_of(int64_t number, const Shape& shape) {
  Shape index = shape;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    index[axis] = shape[axis] == 0 ? 0 : number % shape[axis];
    number /= std::max<int64_t>(shape[axis], 1);
  }
  return index;
}

/// The number, in row-major order, of the element at `index`.
inline size_t number_of(const Shape& index, const Shape& shape) {
  int64_t number = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) number = number * shape[axis] + index[axis];
  return static_cast<size_t>(number);
}

/// Moves `index` on to the next element in row-major order.
inline void advance(Shape& index, const Shape& shape) {
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    if (++index[axis] < shape[axis]) return;
    index[axis] = 0;
  }
}

/// The number of the element of an array of `shape` that broadcasts to `index`.
inline size_t broadcast_number(const Shape& index, const Shape& shape) {
  Shape own = shape;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    own[axis] = shape[axis] == 1 ? 0 : index[axis + index.rank() - shape.rank()];
  }
  return number_of(own, shape);
}

}  // namespace haze::reference

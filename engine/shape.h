#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "haze/engine/error.h"

namespace haze {

inline constexpr int kMaxRank = 6;

/// A short list of extents, strides or axes, held in place: making one never touches the heap.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const int64_t> extents) {
    if (extents.size() > kMaxRank) fail("a tensor has at most {} axes, got {}", kMaxRank, extents.size());
    rank_ = static_cast<int>(extents.size());
    std::copy(extents.begin(), extents.end(), extents_.begin());
  }

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return extents_[axis]; }
  int64_t& operator[](int axis) { return extents_[axis]; }
  const int64_t* begin() const { return extents_.data(); }
  const int64_t* end() const { return extents_.data() + rank_; }
  int64_t back() const { return extents_[rank_ - 1]; }

  void append(int64_t extent) {
    if (rank_ == kMaxRank) fail("a tensor has at most {} axes", kMaxRank);
    extents_[rank_++] = extent;
  }

  /// Product of the extents; 1 for a scalar.
  int64_t elements() const {
    int64_t product = 1;
    for (int64_t extent : *this) product *= extent;
    return product;
  }

  /// Whether no extent is negative and the product of the extents fits in 64 bits, counting those of 0 as 1.
  bool countable() const {
    int64_t product = 1;
    return std::all_of(begin(), end(), [&product](int64_t extent) {
      return extent >= 0 && !__builtin_mul_overflow(product, std::max<int64_t>(extent, 1), &product);
    });
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  /// As "[2, 3]".
  std::string to_string() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string(extents_[i]);
    return text + "]";
  }

 private:
  std::array<int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

/// [count, example...]: the shape of `count` examples.
inline Shape batch_shape(int64_t count, const Shape& example) {
  Shape shape{count};
  for (int64_t extent : example) shape.append(extent);
  return shape;
}

/// Strides, in elements, of a dense row-major tensor.
inline Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/// The shape that `a` and `b` broadcast to: aligned at the last axis, extents equal or 1. Throws naming
/// `operation`.
inline Shape broadcast_shape(const Shape& a, const Shape& b, const char* operation) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result;
  for (int i = 0; i < rank; ++i) {
    const int ia = i - (rank - a.rank()), ib = i - (rank - b.rank());
    const int64_t ea = ia < 0 ? 1 : a[ia], eb = ib < 0 ? 1 : b[ib];
    if (ea != eb && ea != 1 && eb != 1) {
      fail("{}: shapes {} and {} do not broadcast: axis {} has {} and {}", operation, a.to_string(),
           b.to_string(), i, ea, eb);
    }
    result.append(ea == 1 ? eb : ea);
  }
  return result;
}

}  // namespace haze

#pragma once

#include <cstdint>

/// Rows of a packed panel whose elements come from several positions. The pixels that a tap of a
/// convolution's kernel reads are contiguous only within a row of the image.
namespace haze {

/// A vector of elements of a row: where it is read, from the row's own offset on, and its column in the
/// panel.
struct RowPart {
  int64_t from, to;
};

template <typename T>
struct PartCopies {
  int64_t lanes;  // elements of a vector
  /// out[r * panel + part.to + i] = source[offsets[r] + part.from + i] for each row r, each part in order and
  /// i below `lanes`. A part copies whole vectors. The surplus belongs to the next part, or to the next row,
  /// and is overwritten by it. So both `source` and `out` need lanes - 1 elements more than they mean.
  void (*copy)(const T* source, const int64_t* offsets, int64_t rows, const RowPart* parts, int64_t count,
               T* out, int64_t panel);
  /// to[r * to_stride + i] = from[r * from_stride + i * step] for each row r and i below `count`; reads and
  /// writes nothing else.
  void (*copy_rows)(const T* from, int64_t from_stride, int64_t step, int64_t rows, int64_t count, T* to,
                    int64_t to_stride);
};

/// The best version for this processor; T is float or double.
template <typename T>
const PartCopies<T>& part_copies();

}  // namespace haze

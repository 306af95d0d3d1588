#pragma once

#include "haze/autograd/ops.h"
#include "haze/nn/sequences.h"

namespace haze {

/// Where the rows of ragged sequences lie in a padded batch [count, longest]. It depends on the layout alone,
/// so one serves all layers of a pass.
struct Padding {
  int64_t count = 0;    // sequences
  int64_t longest = 0;  // rows of the longest sequence
  Tensor slots;    // int32 [rows], row of [count longest]; undefined where that batch is the rows as they are
  Tensor lengths;  // int32 [count], rows of each sequence; undefined where all are the longest

  /// Of all rows, in their order; it reads no tensor. Throws Error where int32 cannot count the padded rows.
  static Padding of(const Sequences& sequences);
  /// Of rows in any order: row i belongs to sequence index[i], int32 [rows], of `count`. It copies `index` to
  /// the host. Throws Error as above and on a sequence that is not in [0, count).
  static Padding of_rows(const Tensor& index, int64_t count);

  /// x [rows, ...] -> [count, longest, ...], zero where there is no row.
  Variable pad(const Variable& x) const;
  /// The inverse of pad(): [count, longest, ...] -> [rows, ...].
  Variable unpad(const Variable& x) const;
};

}  // namespace haze

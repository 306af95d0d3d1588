#pragma once

#include <cstddef>
#include <cstdint>

#include "haze/engine/simt/launch.h"

/// The work of tensor cores for a warp (PTX ISA: ldmatrix, mma). cuda/fragments.h says which lane has which
/// element.
namespace haze::simt {

/// A lane's part of ldmatrix: the address of a row of 16 bytes. Lane i has row i % 8 of matrix i / 8.
struct MatrixLoad {
  const void* row;  // of lanes from 8 * count on: not used
  uint32_t* words;  // [count], the lane's part of each matrix
  unsigned count;   // 1, 2 or 4 matrices of 8 x 8 elements of 16 bits
  bool transposed;
  mutable const void* received[4] = {};  // the row of each matrix that the lane's words come from
};

enum class MatrixElement : uint8_t { bfloat16, tfloat32 };

/// A lane's part of mma, c += a b.
struct MatrixProduct {
  MatrixElement element;
  const uint32_t *a, *b;  // [4], [2]
  float* c;               // [4]
};

/// A transposed matrix has each lane's words from two rows; `received` has one row for it, too.
void load_matrices(const MatrixLoad* const (&lanes)[kWarp]);
/// A product of two elements is exact. The sum of an element of c and its products is taken in float64, K in
/// its order, and rounded once to float32. PTX leaves order and rounding open. An H100 cuts off low bits
/// instead, so its results may differ from these in the last bits.
void multiply_matrices(const MatrixProduct* const (&lanes)[kWarp]);

/// As cvt.rna.tf32.f32: to the nearest number with 10 bits of mantissa, away from 0 where two are as near.
uint32_t rounded_to_tfloat32(float value);

}  // namespace haze::simt

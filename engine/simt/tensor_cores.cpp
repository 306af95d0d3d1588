#include "haze/engine/simt/tensor_cores.h"

#include <bit>
#include <cstring>

namespace haze::simt {
namespace {

constexpr uint32_t kTfloat32Mask = ~uint32_t{0x1FFF};  // tensor cores do not read the other bits

float upper_half(uint32_t word) {
  return std::bit_cast<float>(word & 0xFFFF0000);
}

// Element k of a lane's four bytes of a row, of which there are two for bfloat16 and one for tfloat32.
template <MatrixElement kElement>
float element_of(uint32_t word, unsigned k) {
  if constexpr (kElement == MatrixElement::tfloat32) return std::bit_cast<float>(word & kTfloat32Mask);
  return k == 0 ? upper_half(word << 16) : upper_half(word);
}

template <MatrixElement kElement>
void multiply(const MatrixProduct* const (&lanes)[kWarp]) {
  constexpr unsigned kWide = kElement == MatrixElement::bfloat16 ? 2 : 1;  // elements of a word
  constexpr unsigned kCount = 8 * kWide;                                   // K
  double b[kCount][8];
  for (unsigned lane = 0; lane < kWarp; ++lane) {
    for (unsigned k = 0; k < 2 * kWide; ++k) {
      b[(k / kWide * 4 + lane % 4) * kWide + k % kWide][lane / 4] =
          element_of<kElement>(lanes[lane]->b[k / kWide], k % kWide);
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    const unsigned first = row % 8 * 4, lower = row / 8;  // of the four lanes that share the row
    double c[8];
    for (unsigned j = 0; j < 8; ++j) c[j] = lanes[first + j / 2]->c[2 * lower + j % 2];
    for (unsigned k = 0; k < kCount; ++k) {
      const unsigned word = k / kWide;
      const double a = element_of<kElement>(lanes[first + word % 4]->a[lower + word / 4 * 2], k % kWide);
      for (unsigned j = 0; j < 8; ++j) c[j] += a * b[k][j];
    }
    for (unsigned j = 0; j < 8; ++j) lanes[first + j / 2]->c[2 * lower + j % 2] = static_cast<float>(c[j]);
  }
}

}  // namespace

void load_matrices(const MatrixLoad* const (&lanes)[kWarp]) {
  for (unsigned matrix = 0; matrix < lanes[0]->count; ++matrix) {
    uint16_t elements[8][8];
    for (unsigned row = 0; row < 8; ++row) {
      std::memcpy(elements[row], lanes[matrix * 8 + row]->row, sizeof(elements[row]));
    }
    for (unsigned lane = 0; lane < kWarp; ++lane) {
      const unsigned row = lane / 4, column = lane % 4 * 2;
      const bool transposed = lanes[lane]->transposed;
      const uint16_t first = transposed ? elements[column][row] : elements[row][column];
      const uint16_t second = transposed ? elements[column + 1][row] : elements[row][column + 1];
      lanes[lane]->received[matrix] = lanes[matrix * 8 + row]->row;
      lanes[lane]->words[matrix] = first | static_cast<uint32_t>(second) << 16;
    }
  }
}

void multiply_matrices(const MatrixProduct* const (&lanes)[kWarp]) {
  if (lanes[0]->element == MatrixElement::bfloat16) {
    multiply<MatrixElement::bfloat16>(lanes);
  } else {
    multiply<MatrixElement::tfloat32>(lanes);
  }
}

uint32_t rounded_to_tfloat32(float value) {
  if (value != value) return 0x7FFFFFFF;
  return (std::bit_cast<uint32_t>(value) + 0x1000) & kTfloat32Mask;
}

}  // namespace haze::simt

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

/// Values that a pixel's channel can have: 0 to 255.
inline constexpr int64_t kPixelLevels = 256;

/// Images of one size in whole numbers, and the class of each where there are classes.
struct ImageSet {
  int64_t channels = 1, height = 0, width = 0;
  std::vector<uint8_t> pixels;  // [count, channels, height, width]
  std::vector<int32_t> labels;  // [count], or empty

  int64_t image_size() const { return channels * height * width; }
  int64_t count() const { return image_size() == 0 ? 0 : std::ssize(pixels) / image_size(); }
};

/// 2 k / 255 - 1: a model's number of the pixel k, in [-1, 1].
inline float value_of_pixel(uint8_t k) {
  return static_cast<float>(2.0 * k / (kPixelLevels - 1) - 1);
}

/// The nearest pixel of a model's number; beyond [-1, 1] the end, and 0 of NaN.
inline uint8_t pixel_of_value(float value) {
  const double pixel = std::round((static_cast<double>(value) + 1) / 2 * (kPixelLevels - 1));
  return pixel > 0 ? static_cast<uint8_t>(std::min(pixel, kPixelLevels - 1.0)) : 0;
}

/// Images `indices` as float32 [indices, channels, height, width] in [-1, 1].
Tensor values_of_images(const ImageSet& set, std::span<const int64_t> indices);

/// Images first to last of a set, last not among them, with their labels.
ImageSet images_between(const ImageSet& set, int64_t first, int64_t last);

}  // namespace haze

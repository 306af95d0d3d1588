#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

struct Colour {
  uint8_t red = 0, green = 0, blue = 0;
};
inline constexpr Colour kWhite{255, 255, 255};

/// A picture in pixels.
struct Picture {
  Picture() = default;
  /// All of one colour.
  Picture(int64_t height, int64_t width, Colour colour = kWhite);

  Colour at(int64_t row, int64_t column) const;
  void set(int64_t row, int64_t column, Colour colour);
  /// Copies another picture into this one, its upper left corner at (row, column). Pixels that would lie
  /// outside are left out.
  void paste(const Picture& other, int64_t row, int64_t column);

  int64_t height = 0, width = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3], red, green, blue
};

/// The side in pixels of a picture of the plane, axes from -extent to extent to the right and up.
inline constexpr int64_t kPlaneSide = 400;

/// A sheet of images, real [n, channels, height, width] with 1 or 3 channels in [-1, 1], in rows of `columns`
/// with gaps of 2 pixels. Columns 0: about as many as rows. Small images are enlarged by a whole number.
/// Numbers outside [-1, 1] are shown as its nearest end, NaN as black. Throws Error on another shape.
Picture sheet_of(const Tensor& images, int64_t columns = 0);

/// A heat map of a density of the plane: white where it is 0, dark blue where it is greatest.
Picture density_picture(const std::function<double(double x, double y)>& density, double extent);

/// Points real [n, 2] as translucent dots, on the same axes. Those outside are left out. Throws Error on
/// another shape.
Picture points_picture(const Tensor& points, double extent);

/// Pictures from left to right, or from top to bottom, on white, with gaps of 8 pixels.
Picture beside_each_other(std::span<const Picture> pictures);
Picture below_each_other(std::span<const Picture> pictures);

/// Writes a picture as PNG; the path holds either what it held before or all of it. Throws Error where the
/// system refuses, or the picture is empty.
void write_picture(const std::filesystem::path& path, const Picture& picture);

/// One image [channels, height, width] in [-1, 1], or [1, channels, height, width], as rows of characters,
/// two a pixel: the lighter, the more ink. Images more than 40 pixels wide are shrunk by a whole number.
std::string shades_of(const Tensor& image);

}  // namespace haze

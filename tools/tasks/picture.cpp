#include "haze/tools/tasks/picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "haze/engine/ops.h"
#include "haze/tools/tasks/image_set.h"
#include "haze/tools/tasks/png_file.h"

namespace haze {
namespace {

std::vector<float> numbers_of(const Tensor& tensor) {
  return contiguous(cast(tensor, Dtype::float32)).to_vector<float>();
}

Colour between(Colour from, Colour to, double share) {
  const auto mix = [&](uint8_t a, uint8_t b) {
    return static_cast<uint8_t>(std::lround(a + (b - a) * std::clamp(share, 0.0, 1.0)));
  };
  return {mix(from.red, to.red), mix(from.green, to.green), mix(from.blue, to.blue)};
}

/// Image `index` of numbers [n, channels, height, width], every pixel `factor` x `factor` pixels.
Picture enlarged_image(const std::vector<float>& numbers, const Shape& shape, int64_t index, int64_t factor) {
  const int64_t channels = shape[1], height = shape[2], width = shape[3];
  Picture picture(height * factor, width * factor);
  const auto pixel = [&](int64_t channel, int64_t row, int64_t column) {
    return pixel_of_value(
        numbers[static_cast<size_t>(((index * channels + channel) * height + row) * width + column)]);
  };
  for (int64_t row = 0; row < picture.height; ++row) {
    for (int64_t column = 0; column < picture.width; ++column) {
      const auto of_channel = [&](int64_t channel) {
        return pixel(std::min(channel, channels - 1), row / factor, column / factor);
      };
      picture.set(row, column, {of_channel(0), of_channel(1), of_channel(2)});
    }
  }
  return picture;
}

/// Where a coordinate in [-extent, extent] lies among `cells` cells; outside of them for one outside.
int64_t cell_of(double coordinate, double extent, int64_t cells) {
  const double cell = std::floor((coordinate + extent) / (2 * extent) * static_cast<double>(cells));
  return cell >= 0 && cell < static_cast<double>(cells) ? static_cast<int64_t>(cell) : -1;
}

}  // namespace

Picture::Picture(int64_t rows, int64_t columns, Colour colour) : height(rows), width(columns) {
  pixels.reserve(static_cast<size_t>(rows * columns * 3));
  for (int64_t i = 0; i < rows * columns; ++i)
    pixels.insert(pixels.end(), {colour.red, colour.green, colour.blue});
}

Colour Picture::at(int64_t row, int64_t column) const {
  const uint8_t* pixel = pixels.data() + (row * width + column) * 3;
  return {pixel[0], pixel[1], pixel[2]};
}

void Picture::set(int64_t row, int64_t column, Colour colour) {
  uint8_t* pixel = pixels.data() + (row * width + column) * 3;
  pixel[0] = colour.red;
  pixel[1] = colour.green;
  pixel[2] = colour.blue;
}

void Picture::paste(const Picture& other, int64_t row, int64_t column) {
  for (int64_t y = std::max<int64_t>(0, -row); y < std::min(other.height, height - row); ++y) {
    for (int64_t x = std::max<int64_t>(0, -column); x < std::min(other.width, width - column); ++x)
      set(row + y, column + x, other.at(y, x));
  }
}

Picture sheet_of(const Tensor& images, int64_t columns) {
  const bool is_images = images.defined() && images.rank() == 4 && images.elements() > 0;
  if (!is_images || (images.size(1) != 1 && images.size(1) != 3)) {
    fail("a sheet is of images [n, 1 or 3, height, width], not of a tensor of shape {}",
         images.defined() ? images.shape().to_string() : "nothing");
  }
  constexpr int64_t kGap = 2, kVisibleSide = 64;
  constexpr Colour kBetween{96, 96, 128};
  const int64_t count = images.size(0);
  if (columns <= 0) columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  const int64_t factor = std::max<int64_t>(1, kVisibleSide / std::max(images.size(2), images.size(3)));
  const int64_t row_step = images.size(2) * factor + kGap, column_step = images.size(3) * factor + kGap;
  Picture sheet(rows * row_step + kGap, columns * column_step + kGap, kBetween);
  const std::vector<float> numbers = numbers_of(images);
  for (int64_t i = 0; i < count; ++i) {
    sheet.paste(enlarged_image(numbers, images.shape(), i, factor), kGap + i / columns * row_step,
                kGap + i % columns * column_step);
  }
  return sheet;
}

Picture density_picture(const std::function<double(double, double)>& density, double extent) {
  constexpr int64_t kCells = kPlaneSide / 2;
  constexpr Colour kGreatest{8, 29, 88};
  std::vector<double> values;
  for (int64_t row = 0; row < kCells; ++row) {
    for (int64_t column = 0; column < kCells; ++column) {
      const auto middle = [&](int64_t cell) {
        return extent * (2 * static_cast<double>(cell) + 1) / kCells - extent;
      };
      values.push_back(density(middle(column), -middle(row)));
    }
  }
  const double greatest = *std::max_element(values.begin(), values.end());
  Picture picture(kPlaneSide, kPlaneSide);
  for (int64_t row = 0; row < kPlaneSide; ++row) {
    for (int64_t column = 0; column < kPlaneSide; ++column) {
      const double value = values[static_cast<size_t>(row / 2 * kCells + column / 2)];
      picture.set(row, column, between(kWhite, kGreatest, greatest > 0 ? value / greatest : 0));
    }
  }
  return picture;
}

Picture points_picture(const Tensor& points, double extent) {
  if (!points.defined() || points.rank() != 2 || points.size(1) != 2) {
    fail("a picture of points is of a tensor [n, 2], not of shape {}",
         points.defined() ? points.shape().to_string() : "nothing");
  }
  constexpr Colour kDot{160, 40, 20};
  constexpr double kOpacity = 0.5;
  constexpr std::array<std::pair<int, int>, 9> kDisc = {
      {{-1, -1}, {-1, 0}, {-1, 1}, {0, -1}, {0, 0}, {0, 1}, {1, -1}, {1, 0}, {1, 1}}};
  Picture picture(kPlaneSide, kPlaneSide);
  const std::vector<float> numbers = numbers_of(points);
  for (size_t i = 0; i < numbers.size(); i += 2) {
    const int64_t column = cell_of(static_cast<double>(numbers[i]), extent, kPlaneSide);
    const int64_t row = cell_of(-static_cast<double>(numbers[i + 1]), extent, kPlaneSide);
    if (row < 0 || column < 0) continue;
    for (const auto& [down, right] : kDisc) {
      const int64_t y = row + down, x = column + right;
      if (y < 0 || y >= kPlaneSide || x < 0 || x >= kPlaneSide) continue;
      picture.set(y, x, between(picture.at(y, x), kDot, kOpacity));
    }
  }
  return picture;
}

namespace {

constexpr int64_t kGapOfPictures = 8;

int64_t sum_with_gaps(std::span<const Picture> pictures, int64_t Picture::*extent) {
  int64_t sum = -kGapOfPictures;
  for (const Picture& picture : pictures) sum += picture.*extent + kGapOfPictures;
  return std::max<int64_t>(sum, 0);
}

int64_t greatest(std::span<const Picture> pictures, int64_t Picture::*extent) {
  int64_t most = 0;
  for (const Picture& picture : pictures) most = std::max(most, picture.*extent);
  return most;
}

}  // namespace

Picture beside_each_other(std::span<const Picture> pictures) {
  Picture all(greatest(pictures, &Picture::height), sum_with_gaps(pictures, &Picture::width));
  int64_t column = 0;
  for (const Picture& picture : pictures) {
    all.paste(picture, 0, column);
    column += picture.width + kGapOfPictures;
  }
  return all;
}

Picture below_each_other(std::span<const Picture> pictures) {
  Picture all(sum_with_gaps(pictures, &Picture::height), greatest(pictures, &Picture::width));
  int64_t row = 0;
  for (const Picture& picture : pictures) {
    all.paste(picture, row, 0);
    row += picture.height + kGapOfPictures;
  }
  return all;
}

void write_picture(const std::filesystem::path& path, const Picture& picture) {
  write_png(path, {picture.height, picture.width, 3, picture.pixels});
}

std::string shades_of(const Tensor& image) {
  constexpr std::string_view kShades = " .:-=+*#%@";
  constexpr int64_t kMostColumns = 40;
  const int64_t height = image.size(-2), width = image.size(-1);
  const int64_t channels = image.elements() / (height * width);
  const int64_t factor = (width + kMostColumns - 1) / kMostColumns;
  const std::vector<float> numbers = numbers_of(image);
  // The mean pixel of a square of factor x factor, and of the channels.
  const auto pixel = [&](int64_t row, int64_t column) {
    double sum = 0;
    int64_t count = 0;
    for (int64_t channel = 0; channel < channels; ++channel) {
      for (int64_t y = row; y < std::min(row + factor, height); ++y) {
        for (int64_t x = column; x < std::min(column + factor, width); ++x, ++count)
          sum += pixel_of_value(numbers[static_cast<size_t>((channel * height + y) * width + x)]);
      }
    }
    return sum / static_cast<double>(count);
  };
  std::string rows;
  for (int64_t row = 0; row < height; row += factor) {
    for (int64_t column = 0; column < width; column += factor) {
      const double share = pixel(row, column) / kPixelLevels;
      rows += std::string(2, kShades[static_cast<size_t>(share * static_cast<double>(kShades.size()))]);
    }
    rows += '\n';
  }
  return rows;
}

}  // namespace haze

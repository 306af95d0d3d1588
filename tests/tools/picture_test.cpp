#include "haze/tools/tasks/picture.h"

#include <array>
#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/tools/tasks/png_file.h"

#include "error_of.h"
#include "temporary_folder.h"

using namespace haze;
using namespace haze::testing;

namespace {

std::array<int, 3> at(const Picture& picture, int64_t row, int64_t column) {
  const Colour colour = picture.at(row, column);
  return {colour.red, colour.green, colour.blue};
}

/// How dark a picture is at a point of the plane, 0 to 255.
int darkness(const Picture& picture, double extent, double x, double y) {
  const auto cell = [&](double coordinate) {
    return static_cast<int64_t>((coordinate + extent) / (2 * extent) * kPlaneSide);
  };
  return 255 - at(picture, cell(-y), cell(x))[1];
}

}  // namespace

TEST_CASE("a sheet has images in rows, enlarged, with gaps of two pixels") {
  // Three images of one row and two columns: enlarged by 32.
  const Tensor images = Tensor::from(std::vector<float>{-1, 1, 0, 5, -1, -9}, {3, 1, 1, 2});
  const Picture sheet = sheet_of(images, 2);
  CHECK(sheet.width == 2 + 2 * (64 + 2));
  CHECK(sheet.height == 2 + 2 * (32 + 2));
  CHECK(at(sheet, 2, 2) == std::array{0, 0, 0});
  CHECK(at(sheet, 33, 33) == std::array{0, 0, 0});
  CHECK(at(sheet, 2, 34) == std::array{255, 255, 255});
  CHECK(at(sheet, 2, 68) == std::array{128, 128, 128});
  CHECK(at(sheet, 2, 68 + 63) == std::array{255, 255, 255});
  CHECK(at(sheet, 36, 2) == std::array{0, 0, 0});
  const std::array<int, 3> between = at(sheet, 0, 0);
  for (const auto& [row, column] : {std::pair<int, int>{2, 66}, {34, 2}, {36, 68}, {69, 133}})
    CHECK(at(sheet, row, column) == between);
  CHECK(sheet_of(images).width == sheet.width);
  CHECK(sheet_of(images, 9).width == 2 + 3 * 66);
}

TEST_CASE("a sheet in colour has the channels red, green and blue, and NaN is black") {
  std::vector<float> numbers(3 * 64 * 64, 1);
  numbers[0] = -1;                                              // red of the first pixel
  numbers[2 * 4096] = std::numeric_limits<float>::quiet_NaN();  // its blue
  const Picture sheet = sheet_of(Tensor::from(numbers, {1, 3, 64, 64}));
  CHECK(sheet.width == 68);
  CHECK(at(sheet, 2, 2) == std::array{0, 255, 0});
  CHECK(at(sheet, 2, 3) == std::array{255, 255, 255});
  CHECK(error_of([] {
          sheet_of(Tensor({2, 2, 4, 4}));
        }) == "a sheet is of images [n, 1 or 3, height, width], not of a tensor of shape [2, 2, 4, 4]");
  CHECK(error_of([] { sheet_of({}); }).find("not of a tensor of shape nothing") != std::string::npos);
}

TEST_CASE("points and density lie on the same axes: x to the right, y upwards") {
  const auto bump = [](double x, double y) {
    return std::exp(-20 * (std::pow(x - 1, 2) + std::pow(y - 0.5, 2)));
  };
  const Picture density = density_picture(bump, 2);
  CHECK(density.height == kPlaneSide);
  CHECK(density.width == kPlaneSide);
  CHECK(darkness(density, 2, 1.005, 0.505) > 200);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor points = Tensor::from(std::vector<float>{1, 0.5f, 3, 0, 0, -7, nan, 0, 1e30f, 1e30f}, {5, 2});
  const Picture dots = points_picture(points, 2);
  CHECK(darkness(dots, 2, 1.005, 0.505) > 50);
  for (const auto& [x, y] : {std::pair{1.0, -0.5}, {-1.0, 0.5}, {-1.0, -0.5}, {0.0, 0.0}}) {
    CHECK(darkness(density, 2, x, y) == 0);
    CHECK(darkness(dots, 2, x, y) == 0);
  }
  int64_t coloured = 0;
  for (int64_t row = 0; row < kPlaneSide; ++row) {
    for (int64_t column = 0; column < kPlaneSide; ++column)
      coloured += at(dots, row, column) != std::array{255, 255, 255};
  }
  CHECK(coloured == 9);
  CHECK(error_of([] {
          points_picture(Tensor({3, 3}), 1);
        }) == "a picture of points is of a tensor [n, 2], not of shape [3, 3]");
}

TEST_CASE("pictures stand beside or below each other with gaps of eight white pixels") {
  const std::array<Picture, 2> two = {Picture(4, 3, {1, 2, 3}), Picture(2, 5, {4, 5, 6})};
  const Picture beside = beside_each_other(two), below = below_each_other(two);
  CHECK(beside.width == 3 + 8 + 5);
  CHECK(beside.height == 4);
  CHECK(at(beside, 3, 2) == std::array{1, 2, 3});
  CHECK(at(beside, 0, 3) == std::array{255, 255, 255});
  CHECK(at(beside, 1, 11) == std::array{4, 5, 6});
  CHECK(at(beside, 2, 11) == std::array{255, 255, 255});
  CHECK(below.width == 5);
  CHECK(below.height == 4 + 8 + 2);
  CHECK(at(below, 12, 4) == std::array{4, 5, 6});
}

TEST_CASE("a picture that is written is read again as the same pixels, and an empty one is refused") {
  const TemporaryFolder folder;
  Picture picture(3, 2, {9, 8, 7});
  picture.set(2, 1, {200, 100, 0});
  write_picture(folder / "x.png", picture);
  const PngImage read = read_png(folder / "x.png");
  CHECK(read.channels == 3);
  CHECK(read.pixels == picture.pixels);
  CHECK(error_of([&] { write_picture(folder / "y.png", {}); }).find("cannot be made") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(folder / "y.png"));
  CHECK(error_of([&] { write_picture(folder / "none" / "x.png", picture); }).find("none") !=
        std::string::npos);
}

TEST_CASE("an image in characters has two a pixel, and wide ones are shrunk") {
  CHECK(shades_of(Tensor::from(std::vector<float>{-1, 1, 0, -1}, {1, 2, 2})) == "  @@\n++  \n");
  const std::string wide = shades_of(Tensor::from(std::vector<float>(100 * 3, 1.0f), {1, 1, 3, 100}));
  CHECK(wide == std::string(68, '@') + "\n");
}

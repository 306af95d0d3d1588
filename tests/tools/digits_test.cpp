#include "haze/tools/tasks/digits.h"

#include <limits>
#include <numeric>
#include <set>

#include <doctest/doctest.h>

#include "haze/engine/cpu/parallel.h"

#include "engine/statistics.h"

using namespace haze;

namespace {

std::vector<uint8_t> image(const ImageSet& set, int64_t index) {
  const auto first = set.pixels.begin() + index * set.image_size();
  return {first, first + set.image_size()};
}

int64_t squared_distance(const ImageSet& a, int64_t i, const ImageSet& b, int64_t j) {
  const uint8_t *left = a.pixels.data() + i * a.image_size(), *right = b.pixels.data() + j * b.image_size();
  int64_t sum = 0;
  for (int64_t k = 0; k < a.image_size(); ++k) sum += (left[k] - right[k]) * (left[k] - right[k]);
  return sum;
}

}  // namespace

TEST_CASE("digits have 16 x 16 pixels, and each of the ten comes equally often (chi-squared, 99.9 %)") {
  const ImageSet set = draw_digits(2000, 3, 0);
  CHECK(set.count() == 2000);
  CHECK(set.channels == 1);
  CHECK(set.height == 16);
  CHECK(set.width == 16);
  std::vector<int64_t> counts(10);
  for (const int32_t label : set.labels) ++counts.at(static_cast<size_t>(label));
  CHECK(test::chi_squared(counts, std::vector<double>(10, 200)) < test::chi_squared_limit(9));
}

TEST_CASE("digit i depends on the seed, the stream and i alone, and no two are the same") {
  const ImageSet many = draw_digits(1000, 5, 1), few = draw_digits(130, 5, 1);
  CHECK(std::equal(few.pixels.begin(), few.pixels.end(), many.pixels.begin()));
  CHECK(std::equal(few.labels.begin(), few.labels.end(), many.labels.begin()));
  const int before = threads();
  set_threads(3);
  CHECK(draw_digits(1000, 5, 1).pixels == many.pixels);
  set_threads(before);
  CHECK(draw_digits(130, 6, 1).pixels != few.pixels);
  CHECK(draw_digits(130, 5, 2).pixels != few.pixels);
  std::set<std::vector<uint8_t>> different;
  for (int64_t i = 0; i < many.count(); ++i) different.insert(image(many, i));
  CHECK(different.size() == 1000);
}

TEST_CASE("digits can be told apart: the nearest of 1000 has the right label for 95 % of 200 others") {
  const ImageSet known = draw_digits(1000, 7, 0), other = draw_digits(200, 7, 1);
  int64_t right = 0;
  for (int64_t i = 0; i < other.count(); ++i) {
    int64_t nearest = 0, least = std::numeric_limits<int64_t>::max();
    for (int64_t j = 0; j < known.count(); ++j) {
      const int64_t distance = squared_distance(other, i, known, j);
      if (distance < least) {
        least = distance;
        nearest = j;
      }
    }
    right += known.labels[static_cast<size_t>(nearest)] == other.labels[static_cast<size_t>(i)];
  }
  MESSAGE("right of 200: ", right);
  CHECK(right >= 190);
}

TEST_CASE("digits are white ink on black that stays inside the image, and differ in thickness") {
  const ImageSet set = draw_digits(1000, 9, 0);
  double border = 0, least = 1, most = 0;
  for (int64_t i = 0; i < set.count(); ++i) {
    const std::vector<uint8_t> pixels = image(set, i);
    const double ink = std::accumulate(pixels.begin(), pixels.end(), 0.0) / (255 * 256);
    least = std::min(least, ink);
    most = std::max(most, ink);
    for (size_t k = 0; k < 16; ++k)
      border += (pixels[k] + pixels[240 + k] + pixels[16 * k] + pixels[16 * k + 15]) / (255.0 * 64);
  }
  CHECK(border / 1000 < 0.005);
  CHECK(least > 0.02);
  CHECK(most > 4 * least);
  CHECK(most < 0.5);
}

TEST_CASE("a pixel k is the number 2 k / 255 - 1, and every number is some pixel") {
  for (int k = 0; k < 256; ++k) {
    const float value = value_of_pixel(static_cast<uint8_t>(k));
    CHECK(value == static_cast<float>(2.0 * k / 255 - 1));
    CHECK(pixel_of_value(value) == k);
    CHECK(pixel_of_value(value + 0.9f / 255) == k);
    CHECK(pixel_of_value(value - 0.9f / 255) == k);
  }
  CHECK(pixel_of_value(-1e30f) == 0);
  CHECK(pixel_of_value(1e30f) == 255);
  CHECK(pixel_of_value(std::numeric_limits<float>::infinity()) == 255);
  CHECK(pixel_of_value(std::numeric_limits<float>::quiet_NaN()) == 0);
}

#include "haze/tools/tasks/digits.h"

#include <array>
#include <limits>
#include <numbers>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/generator.h"

namespace haze {
namespace {

struct Point {
  double x = 0, y = 0;
};

// What the pen follows without being lifted, in a box from -1 (top) to 1 (bottom) and about half as wide.
using Stroke = std::vector<Point>;

Stroke arc(Point centre, double radius_x, double radius_y, double first_degree, double last_degree) {
  constexpr double kDegreesPerPoint = 15;
  const int pieces = static_cast<int>(std::ceil(std::abs(last_degree - first_degree) / kDegreesPerPoint));
  Stroke points;
  for (int i = 0; i <= pieces; ++i) {
    const double degree = first_degree + (last_degree - first_degree) * i / pieces;
    const double angle =
        degree * std::numbers::pi / 180;  // clockwise from the right, since y grows downwards
    points.push_back({centre.x + radius_x * std::cos(angle), centre.y + radius_y * std::sin(angle)});
  }
  return points;
}

Stroke joined(std::initializer_list<Stroke> parts) {
  Stroke stroke;
  for (const Stroke& part : parts) stroke.insert(stroke.end(), part.begin(), part.end());
  return stroke;
}

Stroke turned_around(Stroke stroke) {
  for (Point& point : stroke) point = {-point.x, -point.y};
  return stroke;
}

using Glyph = std::vector<Stroke>;

std::array<Glyph, 10> make_glyphs() {
  const Stroke six = joined({arc({0.5, 0.4}, 1.05, 1.4, 275, 180), arc({0, 0.42}, 0.55, 0.58, 180, -180)});
  return {{{arc({0, 0}, 0.6, 1, -90, 270)},
           {{{-0.35, -0.55}, {0.1, -1}, {0.1, 1}}},
           {joined({arc({0, -0.45}, 0.55, 0.55, 185, 390), {{-0.55, 1}, {0.6, 1}}})},
           {joined({arc({0, -0.5}, 0.5, 0.5, 205, 450), arc({0, 0.47}, 0.57, 0.53, 270, 515)})},
           {{{0.25, 1}, {0.25, -1}, {-0.6, 0.35}, {0.6, 0.35}}},
           {joined({{{0.5, -1}, {-0.4, -1}, {-0.47, -0.05}}, arc({-0.02, 0.38}, 0.57, 0.62, 220, 500)})},
           {six},
           {{{-0.55, -1}, {0.55, -1}, {-0.15, 1}}},
           {arc({0, -0.52}, 0.45, 0.48, 90, 450), arc({0, 0.48}, 0.57, 0.52, -90, 270)},
           {turned_around(six)}}};
}

double between(double minimum, double maximum, Generator& generator) {
  return minimum + (maximum - minimum) * generator.uniform();
}

// How one digit is written, in pixels. The limits keep its ink inside the image.
struct Hand {
  explicit Hand(Generator& generator)
      : shift{between(-1, 1, generator), between(-1, 1, generator)},
        half_height(between(4.4, 6, generator)),
        half_width(half_height * between(0.75, 1.15, generator)),
        slant(between(-0.15, 0.35, generator)),
        bend(between(-0.12, 0.12, generator)),
        half_thickness(between(0.45, 1.05, generator)) {}

  Point place(Point point) const {
    const double x = point.x + bend * (1 - point.y * point.y);
    return {kDigitSide / 2.0 + shift.x + half_width * x - slant * half_height * point.y,
            kDigitSide / 2.0 + shift.y + half_height * point.y};
  }

  Point shift;
  double half_height, half_width, slant, bend, half_thickness;
};

double distance_to_segment(Point at, Point from, Point to) {
  const double dx = to.x - from.x, dy = to.y - from.y, squared = dx * dx + dy * dy;
  const double along = squared > 0 ? ((at.x - from.x) * dx + (at.y - from.y) * dy) / squared : 0;
  const double t = std::clamp(along, 0.0, 1.0);
  return std::hypot(at.x - from.x - t * dx, at.y - from.y - t * dy);
}

double distance_to_glyph(Point at, const Glyph& glyph) {
  double nearest = std::numeric_limits<double>::infinity();
  for (const Stroke& stroke : glyph) {
    for (size_t i = 1; i < stroke.size(); ++i)
      nearest = std::min(nearest, distance_to_segment(at, stroke[i - 1], stroke[i]));
  }
  return nearest;
}

// Returns the digit.
int32_t draw_digit(const std::array<Glyph, 10>& glyphs, Generator& generator, uint8_t* pixels) {
  const auto digit = static_cast<int32_t>(generator.below(10));
  const Hand hand(generator);
  Glyph glyph = glyphs[static_cast<size_t>(digit)];
  for (Stroke& stroke : glyph) {
    for (Point& point : stroke) point = hand.place(point);
  }
  for (int64_t row = 0; row < kDigitSide; ++row) {
    for (int64_t column = 0; column < kDigitSide; ++column) {
      const Point middle{static_cast<double>(column) + 0.5, static_cast<double>(row) + 0.5};
      // Along a straight edge, the part of a pixel that the ink covers falls from 1 to 0 within one pixel.
      const double covered = hand.half_thickness + 0.5 - distance_to_glyph(middle, glyph);
      *pixels++ = static_cast<uint8_t>(std::lround(255 * std::clamp(covered, 0.0, 1.0)));
    }
  }
  return digit;
}

}  // namespace

ImageSet draw_digits(int64_t count, uint64_t seed, uint64_t stream) {
  constexpr uint64_t kCountersOfAnImage = 64;  // more than its random numbers use
  static const std::array<Glyph, 10> glyphs = make_glyphs();
  ImageSet set{1, kDigitSide, kDigitSide, {}, {}};
  set.pixels.resize(static_cast<size_t>(count * set.image_size()));
  set.labels.resize(static_cast<size_t>(count));
  parallel_for(count, 64, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      Generator generator(Generator::State{seed, stream, static_cast<uint64_t>(i) * kCountersOfAnImage});
      set.labels[static_cast<size_t>(i)] =
          draw_digit(glyphs, generator, set.pixels.data() + i * set.image_size());
    }
  });
  return set;
}

}  // namespace haze

#include "engine/op_table/reference.h"

// Indexing and images.
namespace haze::reference {
namespace {

int positive_axis(int64_t axis, const Shape& shape) {
  return static_cast<int>(axis < 0 ? axis + shape.rank() : axis);
}

// Sums that grow term by term, in order: the error is that of as many terms as were added.
class Sums {
 public:
  explicit Sums(const Shape& shape) : result_(shape), sums_(result_.values.size()), counts_(sums_.size()) {}
  void add(size_t i, double term) {
    sums_[i] += term;
    result_.error[i] += std::abs(term);
    ++counts_[i];
  }
  Array take() {
    for (size_t i = 0; i < counts_.size(); ++i) {
      result_.values[i] = static_cast<double>(sums_[i]);
      result_.error[i] *= counts_[i] > 1 ? rounding_of_ordered_sum(counts_[i]) : 0;
    }
    return result_;
  }

 private:
  Array result_;
  std::vector<Sum> sums_;
  std::vector<int64_t> counts_;
};

Sums starting_from(const Array& x) {
  Sums sums(x.shape);
  for (size_t i = 0; i < x.values.size(); ++i) sums.add(i, x.values[i]);
  return sums;
}

}  // namespace

Array index_select(const Array& x, int axis, const Array& indices) {
  const int a = positive_axis(axis, x.shape);
  Shape shape = x.shape;
  shape[a] = indices.shape[0];
  return rearrange(x, shape, [&](const Shape& index) {
    Shape from = index;
    from[a] = static_cast<int64_t>(indices.values[static_cast<size_t>(index[a])]);
    return from;
  });
}

Array index_add(const Array& target, int axis, const Array& indices, const Array& source) {
  const int a = positive_axis(axis, target.shape);
  Sums sums = starting_from(target);
  for (size_t i = 0; i < source.values.size(); ++i) {
    Shape to = index_of(static_cast<int64_t>(i), source.shape);
    to[a] = static_cast<int64_t>(indices.values[static_cast<size_t>(to[a])]);
    sums.add(number_of(to, target.shape), source.values[i]);
  }
  return sums.take();
}

Array gather(const Array& x, int axis, const Array& index) {
  const int a = positive_axis(axis, x.shape);
  return rearrange(x, index.shape, [&](const Shape& at) {
    Shape from = at;
    from[a] = static_cast<int64_t>(index.values[number_of(at, index.shape)]);
    return from;
  });
}

Array scatter_add(const Array& x, int axis, const Array& index, const Array& source) {
  const int a = positive_axis(axis, x.shape);
  Sums sums = starting_from(x);
  for (size_t i = 0; i < source.values.size(); ++i) {
    Shape to = index_of(static_cast<int64_t>(i), source.shape);
    to[a] = static_cast<int64_t>(index.values[i]);
    sums.add(number_of(to, x.shape), source.values[i]);
  }
  return sums.take();
}

namespace {

int64_t windows(int64_t extent, int64_t kernel, const Window& window) {
  return (extent + 2 * window.padding - kernel) / window.stride + 1;
}

// Calls f(number of a column's element, number of the image's element under it), without those on padding.
template <typename F>
void for_each_tap(const Shape& image, const Window& w, F&& f) {
  const int64_t down = windows(image[2], w.height, w), across = windows(image[3], w.width, w);
  const int64_t taps = w.height * w.width;
  for (int64_t b = 0; b < image[0]; ++b) {
    for (int64_t c = 0; c < image[1]; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t place = 0; place < down * across; ++place) {
          const int64_t y = place / across * w.stride + tap / w.width - w.padding;
          const int64_t x = place % across * w.stride + tap % w.width - w.padding;
          if (y < 0 || y >= image[2] || x < 0 || x >= image[3]) continue;
          f(number_of({b, c * taps + tap, place}, {image[0], image[1] * taps, down * across}),
            number_of({b, c, y, x}, image));
        }
      }
    }
  }
}

}  // namespace

Array unfold(const Array& x, const Window& w) {
  const int64_t places = windows(x.shape[2], w.height, w) * windows(x.shape[3], w.width, w);
  Array result({x.shape[0], x.shape[1] * w.height * w.width, places});
  for_each_tap(x.shape, w, [&](size_t column, size_t pixel) { result.values[column] = x.values[pixel]; });
  return result;
}

Array fold(const Array& columns, int64_t height, int64_t width, const Window& w) {
  Sums sums({columns.shape[0], columns.shape[1] / (w.height * w.width), height, width});
  for_each_tap({columns.shape[0], columns.shape[1] / (w.height * w.width), height, width}, w,
               [&](size_t column, size_t pixel) { sums.add(pixel, columns.values[column]); });
  return sums.take();
}

namespace {

// Calls f(index of the window, numbers of its pixels in x and in their plane).
template <typename F>
void for_each_window(const Shape& x, int64_t size, F&& f) {
  const Shape pooled = {x[0], x[1], x[2] / size, x[3] / size};
  for (int64_t i = 0; i < pooled.elements(); ++i) {
    const Shape at = index_of(i, pooled);
    std::vector<size_t> pixels, places;
    for (int64_t j = 0; j < size * size; ++j) {
      const int64_t row = at[2] * size + j / size, column = at[3] * size + j % size;
      pixels.push_back(number_of({at[0], at[1], row, column}, x));
      places.push_back(static_cast<size_t>(row * x[3] + column));
    }
    f(static_cast<size_t>(i), pixels, places);
  }
}

}  // namespace

Array average_pool(const Array& x, int64_t size) {
  Array result({x.shape[0], x.shape[1], x.shape[2] / size, x.shape[3] / size});
  for_each_window(x.shape, size, [&](size_t i, const auto& pixels, const auto&) {
    double magnitude = 0;
    for (size_t pixel : pixels) {
      result.values[i] += x.values[pixel] / static_cast<double>(size * size);
      magnitude += std::abs(x.values[pixel]) / static_cast<double>(size * size);
    }
    result.error[i] = rounding_of_sum(size * size) * magnitude;
  });
  return result;
}

std::array<Array, 2> max_pool(const Array& x, int64_t size) {
  Array values({x.shape[0], x.shape[1], x.shape[2] / size, x.shape[3] / size}), indices(values.shape);
  for_each_window(x.shape, size, [&](size_t i, const auto& pixels, const auto& places) {
    size_t best = 0;
    for (size_t j = 1; j < pixels.size(); ++j) {
      const double value = x.values[pixels[j]], largest = x.values[pixels[best]];
      if (!std::isnan(largest) && (std::isnan(value) || value > largest)) best = j;
    }
    values.values[i] = x.values[pixels[best]];
    indices.values[i] = static_cast<double>(places[best]);
  });
  return {values, indices};
}

Array upsample(const Array& x, int64_t size) {
  return rearrange(x, {x.shape[0], x.shape[1], x.shape[2] * size, x.shape[3] * size},
                   [&](const Shape& at) -> Shape {
                     return {at[0], at[1], at[2] / size, at[3] / size};
                   });
}

}  // namespace haze::reference

#include "haze/engine/ops/images.h"

#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/in_float32.h"

// Kernels on images [batch, channels, height, width]. Each writes its result row by row, and a row is written
// by one thread, which reads what the row needs; so fold, too, sums in a fixed order.
namespace haze {
namespace {

struct Range {
  int64_t first, last;
};

// Windows whose tap at `offset` from the window's start (less the padding) falls inside an image of `extent`.
Range windows_inside(int64_t offset, int64_t stride, int64_t extent, int64_t windows) {
  const auto first_from = [&](int64_t pixel) {
    return pixel <= offset ? 0 : std::min(windows, (pixel - offset + stride - 1) / stride);
  };
  return {first_from(0), first_from(extent)};
}

int64_t windows_along(int64_t extent, int64_t kernel, int64_t stride, int64_t padding) {
  return (extent + 2 * padding - kernel) / stride + 1;
}

template <typename T>
void copy_spaced(const T* from, int64_t stride, int64_t count, T* to) {
  if (stride == 1) {
    std::copy_n(from, count, to);
  } else {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i * stride];
  }
}

// Calls body(row) for all rows, each of which costs about `elements` elements.
template <typename Body>
void for_each_row(int64_t rows, int64_t elements, Body&& body) {
  parallel_for(rows, rows_per_task(elements), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) body(row);
  });
}

// Of the first of the largest elements of a window; a NaN counts as larger than every number.
template <typename T>
int64_t largest_in_window(const T* plane, int64_t first, int64_t width, int64_t size) {
  int64_t best = first;
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t at = first + y * width; at < first + y * width + size; ++at) {
      const bool is_first_nan = plane[at] != plane[at] && plane[best] == plane[best];
      if (plane[at] > plane[best] || is_first_nan) best = at;
    }
  }
  return best;
}

}  // namespace

void call::Unfold::run(Cpu) const {
  const int64_t height = x.size(2), width = x.size(3), kernel = kernel_h * kernel_w;
  const int64_t out_h = windows_along(height, kernel_h, stride, padding);
  const int64_t out_w = windows_along(width, kernel_w, stride, padding);
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    // A row of the result holds one tap of one channel at every window.
    for_each_row(x.size(0) * x.size(1) * kernel, out_h * out_w, [&](int64_t row) {
      const T* plane = from + row / kernel * height * width;
      const int64_t tap_y = row % kernel / kernel_w - padding, tap_x = row % kernel_w - padding;
      const Range inside = windows_inside(tap_x, stride, width, out_w);
      for (int64_t window = 0; window < out_h; ++window) {
        T* line = to + (row * out_h + window) * out_w;
        const int64_t y = window * stride + tap_y;
        const bool visible = y >= 0 && y < height && inside.first < inside.last;
        const Range copied = visible ? inside : Range{0, 0};
        std::fill(line, line + copied.first, T{});
        if (visible) {
          copy_spaced(plane + y * width + inside.first * stride + tap_x, stride, inside.last - inside.first,
                      line + inside.first);
        }
        std::fill(line + copied.last, line + out_w, T{});
      }
    });
  });
}

void call::Fold::run(Cpu) const {
  if (columns.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  const int64_t height = out.size(2), width = out.size(3);
  const int64_t out_h = windows_along(height, kernel_h, stride, padding);
  const int64_t out_w = windows_along(width, kernel_w, stride, padding);
  dispatch_real(out.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = columns.data<T>();
    T* to = out.data<T>();
    for_each_row(out.size(0) * out.size(1) * height, kernel_h * kernel_w * out_w, [&](int64_t row) {
      const int64_t plane = row / height, y = row % height;
      T* line = to + row * width;
      std::fill_n(line, width, T{0});
      for (int64_t tap_y = 0; tap_y < kernel_h; ++tap_y) {
        const int64_t below =
            y + padding - tap_y;  // how far the windows that see this row at tap_y start down
        if (below < 0 || below % stride != 0 || below / stride >= out_h) continue;
        for (int64_t tap_x = 0; tap_x < kernel_w; ++tap_x) {
          const int64_t column = (plane * kernel_h + tap_y) * kernel_w + tap_x;
          const T* terms = from + (column * out_h + below / stride) * out_w;
          const Range inside = windows_inside(tap_x - padding, stride, width, out_w);
          for (int64_t i = inside.first; i < inside.last; ++i) line[i * stride + tap_x - padding] += terms[i];
        }
      }
    });
  });
}

void call::AveragePool::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  const int64_t width = x.size(3), out_w = out.size(3);
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    const T scale = T{1} / static_cast<T>(size * size);
    // The rows of a result's row of windows follow one another through all planes.
    for_each_row(out.size(0) * out.size(1) * out.size(2), size * width, [&](int64_t row) {
      for (int64_t i = 0; i < out_w; ++i) {
        T sum = 0;
        for (int64_t y = 0; y < size; ++y) {
          const T* line = from + (row * size + y) * width + i * size;
          for (int64_t j = 0; j < size; ++j) sum += line[j];
        }
        to[row * out_w + i] = sum * scale;
      }
    });
  });
}

void call::MaxPool::run(Cpu) const {
  if (x.dtype() == Dtype::bfloat16) return run_in_float32(*this);
  const int64_t height = x.size(2), width = x.size(3), out_h = out.size(2), out_w = out.size(3);
  int32_t* index = indices.data<int32_t>();
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    for_each_row(out.size(0) * out.size(1) * out_h, size * width, [&](int64_t row) {
      const T* plane = from + row / out_h * height * width;
      for (int64_t i = 0; i < out_w; ++i) {
        const int64_t best = largest_in_window(plane, row % out_h * size * width + i * size, width, size);
        to[row * out_w + i] = plane[best];
        index[row * out_w + i] = static_cast<int32_t>(best);
      }
    });
  });
}

void call::Upsample::run(Cpu) const {
  const int64_t width = x.size(3), out_w = out.size(3);
  dispatch(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const T* from = x.data<T>();
    T* to = out.data<T>();
    for_each_row(x.size(0) * x.size(1) * x.size(2), size * out_w, [&](int64_t row) {
      T* line = to + row * size * out_w;
      for (int64_t i = 0; i < width; ++i) std::fill_n(line + i * size, size, from[row * width + i]);
      for (int64_t copy = 1; copy < size; ++copy) std::copy_n(line, out_w, line + copy * out_w);
    });
  });
}

}  // namespace haze

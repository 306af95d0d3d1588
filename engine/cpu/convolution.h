#pragma once

#include <algorithm>
#include <cstdint>

#include "haze/engine/cpu/copy_parts.h"
#include "haze/engine/cpu/gemm/gemm.h"
#include "haze/engine/memory.h"

/// Declarations that the two kernels of convolution share.
namespace haze {

inline constexpr int64_t kMostOfK = 512;                  // most elements of a packed panel's columns
inline constexpr int64_t kConvolutionPacked = 512 << 10;  // bytes of patches packed at a time
inline constexpr int64_t kConvolutionWorthSharing = 48 * 48 * 48;  // multiplications

inline int64_t ceil_divide(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}
inline int64_t round_up(int64_t value, int64_t multiple) {
  return ceil_divide(value, multiple) * multiple;
}
/// Rounded to minus infinity.
inline int64_t floor_divide(int64_t value, int64_t divisor) {
  return value >= 0 ? value / divisor : -ceil_divide(-value, divisor);
}
/// Where part i begins of [0, count) cut in parts that differ by one at most.
inline int64_t cut(int64_t count, int64_t parts, int64_t i) {
  return count / parts * i + std::min(i, count % parts);
}

struct Span {
  int64_t first, last;
  int64_t size() const { return last - first; }
};
inline Span part_of(int64_t count, int64_t parts, int64_t i) {
  return {cut(count, parts, i), cut(count, parts, i + 1)};
}

/// Memory for a thread's work, with room for what vectors read and write too much.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t elements)
      : storage_(allocate((static_cast<size_t>(elements) + kSlack) * sizeof(T))) {}
  T* data() const { return static_cast<T*>(storage_.data()); }
  static constexpr int64_t kSlack = 64;

 private:
  Storage storage_;
};

/// Pixels of some images that one block of a product covers: `pixels` of each of `images`, which are all of
/// an image's where there are several.
struct PixelBlock {
  Span images, pixels;
  int64_t count() const { return images.size() * pixels.size(); }
};

/// A batch of images in blocks of about `most` pixels; a block of one image has a multiple of `multiple`,
/// except for the image's last.
class PixelBlocks {
 public:
  PixelBlocks(int64_t batch, int64_t pixels, int64_t most, int64_t multiple)
      : batch_(batch), pixels_(pixels) {
    images_ = std::clamp<int64_t>(most / std::max<int64_t>(pixels, 1), 1, std::max<int64_t>(batch, 1));
    if (images_ > 1) images_ = ceil_divide(batch, ceil_divide(batch, images_));
    size_ = images_ > 1 ? pixels : round_up(ceil_divide(pixels, ceil_divide(pixels, most)), multiple);
  }
  int64_t count() const { return ceil_divide(batch_, images_) * of_image(); }
  int64_t most_pixels() const { return images_ * std::min(size_, pixels_); }
  PixelBlock operator[](int64_t i) const {
    const int64_t image = i / of_image() * images_, pixel = i % of_image() * size_;
    return {{image, std::min(image + images_, batch_)}, {pixel, std::min(pixel + size_, pixels_)}};
  }

 private:
  int64_t of_image() const { return ceil_divide(pixels_, size_); }

  int64_t batch_, pixels_, images_, size_;
};

}  // namespace haze

#pragma once

#include <vector>

#include "haze/engine/cpu/convolution.h"
#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/parallel.h"

/// The operands of the product that a convolution is (convolution.cpp): the packed weight, and the images
/// that a block of patches is read from.
namespace haze {

/// The pixel that a tap reads for pixel (0, 0) of the result, and the tap's element of the weight's kernel.
struct Tap {
  int64_t y, x, index;
};

/// The result's pixels (y + i step_h, x + j step_w) for all i and j, and the taps that reach them.
struct Phase {
  int64_t y, x;
  std::vector<Tap> taps;
};

/// result[b][o][i step_h + phase.y][j step_w + phase.x] = bias[o] + the sum of weight(o, c, tap)
/// source[b][c][i stride_h + tap.y][j stride_w + tap.x], over channels c and the phase's taps. source is 0
/// outside the image. i and j run over a grid of rows x columns.
template <typename T>
struct PatchProblem {
  int64_t batch, groups, rows, columns;
  const T* source;
  int64_t channels, height, width, stride_h, stride_w;  // channels of a group
  const T* weight;
  int64_t weight_out, weight_channel;  // strides; taps are contiguous, groups follow each other
  int64_t weight_group;
  const T* bias;  // may be null
  T* result;
  int64_t out, out_height, out_width, step_h, step_w;  // out: channels of a group
  std::vector<Phase> phases;
};

/// The weight as panels of tile_rows rows, in the order in which the micro-kernel reads them. The bias is not
/// among them: it is where the sums start.
template <typename T>
class PackedWeight {
 public:
  PackedWeight(const PatchProblem<T>& problem, const GemmKernels<T, T>& kernels)
      : p_(problem), kernels_(kernels) {
    for (size_t i = 0; i < p_.phases.size(); ++i) {
      starts_.push_back(phase_size_);
      phase_size_ += kernels.tile_rows * k_count_of(i, {0, p_.channels});
    }
    panels_ = Scratch<T>(p_.groups * tiles() * phase_size_);
    parallel_for(p_.groups * tiles(), rows_per_task(phase_size_), [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) pack(i / tiles(), i % tiles());
    });
  }

  int64_t tiles() const { return ceil_divide(p_.out, kernels_.tile_rows); }
  Span rows(int64_t tile) const { return part_of(p_.out, tiles(), tile); }
  /// The extent of K, the reduction dimension, for a block of channels.
  int64_t k_count_of(size_t phase, Span channels) const {
    return channels.size() * static_cast<int64_t>(p_.phases[phase].taps.size());
  }
  const T* panel(int64_t group, int64_t tile, size_t phase, int64_t first_channel) const {
    const auto taps = static_cast<int64_t>(p_.phases[phase].taps.size());
    return panels_.data() + (group * tiles() + tile) * phase_size_ + starts_[phase] +
           first_channel * taps * kernels_.tile_rows;
  }

 private:
  void pack(int64_t group, int64_t tile) {
    for (size_t i = 0; i < p_.phases.size(); ++i) {
      T* out = const_cast<T*>(panel(group, tile, i, 0));
      pack_taps(p_.weight + group * p_.weight_group + rows(tile).first * p_.weight_out, rows(tile).size(),
                p_.phases[i].taps, out);
    }
  }
  void pack_taps(const T* weight, int64_t rows, const std::vector<Tap>& taps, T* out) const {
    for (int64_t c = 0; c < p_.channels; ++c) {
      for (const Tap& tap : taps) {
        const T* from = weight + c * p_.weight_channel + tap.index;
        for (int64_t r = 0; r < rows; ++r) out[r] = from[r * p_.weight_out];
        std::fill(out + rows, out + kernels_.tile_rows, T{0});
        out += kernels_.tile_rows;
      }
    }
  }

  const PatchProblem<T>& p_;
  const GemmKernels<T, T>& kernels_;
  int64_t phase_size_ = 0;
  std::vector<int64_t> starts_;  // of the phases
  Scratch<T> panels_{0};
};

/// Images that a block of the result sees, with zeros around them. A row holds every stride_w-th column, and
/// the stride_w rows of a row of the image follow each other. So the pixels that a tap reads for a row of the
/// result are contiguous.
template <typename T>
class PatchStage {
 public:
  PatchStage(const PatchProblem<T>& problem, int64_t most_channels, int64_t most_images, int64_t most_rows)
      : p_(problem) {
    bool any = false;
    for (const Phase& phase : p_.phases) {
      for (const Tap& tap : phase.taps) {
        const int64_t column = floor_divide(tap.x, p_.stride_w);
        top_ = any ? std::min(top_, tap.y) : tap.y;
        bottom_ = any ? std::max(bottom_, tap.y) : tap.y;
        left_ = any ? std::min(left_, column) : column;
        right_ = any ? std::max(right_, column) : column;
        any = true;
      }
    }
    row_ = p_.columns + right_ - left_;
    pixels_ = Scratch<T>(most_channels * most_images * image_size(most_rows));
  }

  /// For rows [first, last) of the result. Before the first fill, and where another range follows, clear().
  void fill(int64_t group, Span images, Span channels, Span rows) {
    T* to = pixels_.data();
    for (int64_t c = channels.first; c < channels.last; ++c) {
      for (int64_t b = images.first; b < images.last; ++b, to += image_) {
        copy_image(p_.source + ((b * p_.groups + group) * p_.channels + c) * p_.height * p_.width,
                   rows.first * p_.stride_h + top_, source_rows(rows.size()), to);
      }
    }
  }
  /// Sets the zeros around images of so many rows of the result, which fill() leaves as they are.
  void clear(int64_t images, int64_t channels, int64_t rows) {
    images_ = images;
    image_ = image_size(rows);
    std::fill_n(pixels_.data(), channels * images * image_ + Scratch<T>::kSlack, T{0});
  }

  const T* data() const { return pixels_.data(); }
  /// Where (y, x) of the result's rows from `fill` on lies, of an image of the block; taps add to it.
  int64_t offset(int64_t image, int64_t y, int64_t x) const {
    return image * image_ + y * p_.stride_h * p_.stride_w * row_ + x;
  }
  int64_t offset_of(int64_t channel, const Tap& tap) const {
    const int64_t column = floor_divide(tap.x, p_.stride_w);
    return channel * images_ * image_ + ((tap.y - top_) * p_.stride_w + tap.x - column * p_.stride_w) * row_ +
           column - left_;
  }

 private:
  int64_t source_rows(int64_t rows) const { return (rows - 1) * p_.stride_h + bottom_ - top_ + 1; }
  int64_t image_size(int64_t rows) const { return source_rows(rows) * p_.stride_w * row_; }

  /// Rows [first, first + count) of an image, as far as there are such.
  void copy_image(const T* image, int64_t first, int64_t count, T* to) const {
    const int64_t above = std::min(std::max<int64_t>(-first, 0), count);
    const int64_t rows = std::clamp<int64_t>(p_.height - (first + above), 0, count - above);
    for (int64_t phase = 0; phase < p_.stride_w; ++phase) {
      // Column j holds the image's column start + j stride_w.
      const int64_t start = left_ * p_.stride_w + phase;
      const int64_t j = std::min(ceil_divide(std::max<int64_t>(-start, 0), p_.stride_w), row_);
      const int64_t columns =
          std::clamp<int64_t>(ceil_divide(p_.width - start, p_.stride_w) - j, 0, row_ - j);
      if (rows == 0 || columns == 0) continue;
      part_copies<T>().copy_rows(image + (first + above) * p_.width + start + j * p_.stride_w, p_.width,
                                 p_.stride_w, rows, columns, to + (above * p_.stride_w + phase) * row_ + j,
                                 p_.stride_w * row_);
    }
  }

  const PatchProblem<T>& p_;
  int64_t top_ = 0, bottom_ = 0, left_ = 0, right_ = 0;  // extremes of the taps
  int64_t row_;                                          // elements of a row
  int64_t images_ = 0, image_ = 0;
  Scratch<T> pixels_{0};
};

}  // namespace haze

#include <numeric>
#include <vector>

#include "haze/engine/cpu/convolution.h"
#include "haze/engine/cpu/grain.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/prefetch.h"
#include "haze/engine/ops/convolution.h"

// The gradient of a convolution's weight is the product g [out, pixels] x patches^T [pixels, taps in], where
// pixels are those of all images. A block of g and one of patches are packed for it, and none is written out.
namespace haze {
namespace {

constexpr int64_t kMostRows = 240;              // channels of g that a task multiplies
constexpr int64_t kMostColumns = 1280;          // taps of channels of x, likewise
constexpr int64_t kMostPartialBytes = 8 << 20;  // of the sums that are added up at the end
constexpr int64_t kTasks = 32;                  // enough for the threads of most machines
constexpr int64_t kLeastBlocks = 2;             // of pixels in a sum that is added to others

template <typename T>
struct WeightProblem {
  const T *g, *x;
  T* result;
  int64_t batch, groups;
  int64_t out, rows, columns;       // g: channels of a group, height and width
  int64_t channels, height, width;  // x: the same
  int64_t kernel_h, kernel_w;
  ConvolutionOptions options;

  int64_t taps() const { return kernel_h * kernel_w; }
  int64_t elements() const { return groups * out * channels * taps(); }
};

/// Images that a block of g's pixels saw, transposed: the channels of a pixel lie side by side, in panels of
/// as many as a tile has columns. Zeros around them.
template <typename T>
class TransposedStage {
 public:
  TransposedStage(const WeightProblem<T>& problem, const GemmKernels<T, T>& kernels, int64_t most_channels,
                  int64_t most_images, int64_t most_rows)
      : p_(problem),
        pack_(kernels.pack_columns),
        tile_(kernels.tile_columns),
        row_((p_.columns - 1) * p_.options.stride_w + (p_.kernel_w - 1) * p_.options.dilation_w + 1),
        pixels_(ceil_divide(most_channels, tile_) * most_images * image_size(most_rows)) {}

  /// For rows [first, last) of g.
  void fill(int64_t group, Span images, Span channels, Span rows) {
    const int64_t count = source_rows(rows.size()), panels = ceil_divide(channels.size(), tile_);
    const int64_t first = rows.first * p_.options.stride_h - p_.options.top;
    image_ = image_size(rows.size());
    panel_ = images.size() * image_;
    // Row i of the stage: null where it is padding.
    const auto source = [&](int64_t i) {
      const int64_t image = images.first + i / count % images.size(), y = first + i % count;
      const int64_t channel = channels.first + i / count / images.size() * tile_;
      const T* plane = p_.x + ((image * p_.groups + group) * p_.channels + channel) * p_.height * p_.width;
      return y >= 0 && y < p_.height ? plane + y * p_.width : nullptr;
    };
    const auto width = [&](int64_t i) {
      return std::min(tile_, channels.size() - i / count / images.size() * tile_);
    };
    const int64_t total = panels * images.size() * count, ahead = 64 / std::clamp<int64_t>(p_.width, 1, 64);
    T* to = pixels_.data();
    for (int64_t i = 0; i < total; ++i, to += row_ * tile_) {
      // A transposition reads a little of each channel, which the processor does not foresee.
      if (i + ahead < total) prefetch_source(source(i + ahead), width(i + ahead));
      fill_row(source(i), width(i), to);
    }
    std::fill_n(to, Scratch<T>::kSlack, T{0});
  }

  const T* data() const { return pixels_.data(); }
  /// Where the first tap of a window begins; channel and tap add to it.
  int64_t offset(int64_t image, int64_t y, int64_t x) const {
    return image * image_ + (y * p_.options.stride_h * row_ + x * p_.options.stride_w) * tile_;
  }
  int64_t offset_of(int64_t channel, int64_t tap) const {
    const int64_t y = tap / p_.kernel_w * p_.options.dilation_h,
                  x = tap % p_.kernel_w * p_.options.dilation_w;
    return channel / tile_ * panel_ + (y * row_ + x) * tile_ + channel % tile_;
  }

 private:
  int64_t source_rows(int64_t rows) const {
    return (rows - 1) * p_.options.stride_h + (p_.kernel_h - 1) * p_.options.dilation_h + 1;
  }
  int64_t image_size(int64_t rows) const { return source_rows(rows) * row_ * tile_; }

  void prefetch_source(const T* from, int64_t channels) const {
    for (int64_t c = 0; from && c < channels; ++c) prefetch_row(from + c * p_.height * p_.width, p_.width);
  }
  void fill_row(const T* from, int64_t channels, T* to) const {
    const int64_t first = std::min(p_.options.left, row_);
    const int64_t last = from ? std::min(first + p_.width, row_) : first;
    std::fill(to, to + first * tile_, T{0});
    if (first < last) pack_({from, 1, p_.height * p_.width}, last - first, channels, to + first * tile_);
    std::fill(to + last * tile_, to + row_ * tile_, T{0});
  }

  const WeightProblem<T>& p_;
  void (*pack_)(MatrixView<const T> b, int64_t k_count, int64_t columns, void* out);
  int64_t tile_, row_;  // row_: pixels of a row
  int64_t image_ = 0, panel_ = 0;
  Scratch<T> pixels_;
};

template <typename T>
class WeightGradient {
 public:
  explicit WeightGradient(const WeightProblem<T>& problem)
      : p_(problem),
        kernels_(gemm_kernels<T, T>()),
        blocks_(p_.batch, p_.rows * p_.columns, kMostOfK, p_.columns < kMostOfK ? p_.columns : 1),
        channel_parts_(ceil_divide(p_.channels, std::max(kernels_.tile_columns, kMostColumns / p_.taps()))),
        row_parts_(ceil_divide(p_.out, kMostRows)),
        // A number that depends on the shapes alone, as the order of the sums does.
        partials_(std::max(std::min({ceil_divide(kTasks, p_.groups * channel_parts_ * row_parts_),
                                     blocks_.count() / kLeastBlocks,
                                     kMostPartialBytes / (p_.elements() * static_cast<int64_t>(sizeof(T)))}),
                           int64_t{1})),
        sums_(partials_ * p_.elements()) {}

  void run() const {
    const int64_t tasks = partials_ * p_.groups * channel_parts_ * row_parts_;
    const bool worth_sharing = p_.batch * p_.rows * p_.columns * p_.elements() > kConvolutionWorthSharing;
    parallel_for_uneven(tasks, worth_sharing, [&](int64_t i) {
      const int64_t row = i % row_parts_, channel = i / row_parts_ % channel_parts_;
      const int64_t group = i / row_parts_ / channel_parts_ % p_.groups;
      Task(*this, i / (row_parts_ * channel_parts_ * p_.groups), group,
           part_of(p_.channels, channel_parts_, channel), part_of(p_.out, row_parts_, row))
          .run();
    });
    parallel_for(p_.groups * p_.out, rows_per_task(p_.channels * p_.taps() * partials_),
                 [&](int64_t first, int64_t last) {
                   for (int64_t row = first; row < last; ++row) add_up(row);
                 });
  }

 private:
  /// The sums of one range of pixels for some rows (channels of g) and columns (taps of channels of x).
  class Task {
   public:
    Task(const WeightGradient& gradient, int64_t partial, int64_t group, Span channels, Span rows)
        : c_(gradient),
          p_(gradient.p_),
          partial_(partial),
          group_(group),
          channels_(channels),
          rows_(rows),
          columns_(channels.size() * p_.taps()),
          tile_(c_.kernels_.tile_columns),
          stage_(p_, c_.kernels_, channels.size(), c_.blocks_[0].images.size(),
                 std::min(p_.rows, c_.blocks_.most_pixels() / p_.columns + 2)),
          packed_g_(tiles() * panel_of_g(c_.blocks_.most_pixels())),
          panels_(std::clamp<int64_t>(
              kConvolutionPacked / (c_.blocks_.most_pixels() * tile_ * static_cast<int64_t>(sizeof(T))), 1,
              ceil_divide(columns_, tile_))),
          packed_(panels_ * tile_ * c_.blocks_.most_pixels()) {}

    void run() {
      const Span blocks = part_of(c_.blocks_.count(), c_.partials_, partial_);
      for (int64_t i = blocks.first; i < blocks.last; ++i) {
        const PixelBlock block = c_.blocks_[i];
        const Span image_rows{block.pixels.first / p_.columns, (block.pixels.last - 1) / p_.columns + 1};
        stage_.fill(group_, block.images, channels_, image_rows);
        pack_g(block);
        find_offsets(block, image_rows.first);
        for (int64_t column = 0; column < columns_; column += panels_ * tile_) {
          const int64_t count = std::min(panels_ * tile_, columns_ - column);
          if (gathers()) {
            gather(column, count, i == blocks.first);
          } else {
            pack_patches(column, count);
            multiply(column, count, block.count(), i == blocks.first);
          }
        }
      }
    }

   private:
    int64_t tiles() const { return ceil_divide(rows_.size(), c_.kernels_.tile_rows); }
    // Packing may write 64 bytes more.
    int64_t panel_of_g(int64_t k_count) const { return k_count * c_.kernels_.tile_rows + Scratch<T>::kSlack; }

    void pack_g(const PixelBlock& block) {
      const int64_t plane = p_.rows * p_.columns;
      for (int64_t tile = 0; tile < tiles(); ++tile) {
        const Span rows = part_of(rows_.size(), tiles(), tile);
        T* out = packed_g_.data() + tile * panel_of_g(block.count());
        for (int64_t b = block.images.first; b < block.images.last; ++b) {
          const T* from = p_.g + ((b * p_.groups + group_) * p_.out + rows_.first + rows.first) * plane;
          c_.kernels_.pack_rows({from + block.pixels.first, plane, 1}, rows.size(), block.pixels.size(), out);
          out += block.pixels.size() * c_.kernels_.tile_rows;
        }
      }
    }

    void find_offsets(const PixelBlock& block, int64_t first_row) {
      offsets_.clear();
      for (int64_t image = 0; image < block.images.size(); ++image) {
        for (int64_t i = block.pixels.first; i < block.pixels.last; ++i) {
          offsets_.push_back(stage_.offset(image, i / p_.columns - first_row, i % p_.columns));
        }
      }
    }

    /// Panels of columns [column, column + count), which are the channels of the first tap, of the second,
    /// ...
    void pack_patches(int64_t column, int64_t count) {
      const int64_t lanes = part_copies<T>().lanes, channels = channels_.size();
      const auto k_count = static_cast<int64_t>(offsets_.size());
      T* out = packed_.data();
      for (int64_t first = column; first < column + count; first += tile_, out += tile_ * k_count) {
        const int64_t last = std::min(first + tile_, column + count);
        parts_.clear();
        for (int64_t j = first; j < last;) {
          const int64_t channel = j % channels;
          const int64_t run = std::min({tile_ - channel % tile_, channels - channel, last - j});
          const int64_t from = stage_.offset_of(channel, j / channels);
          for (int64_t i = 0; i < run; i += lanes) parts_.push_back({from + i, j - first + i});
          j += run;
        }
        if (last - first < tile_) std::fill_n(out, tile_ * k_count, T{0});  // see PatchProduct
        part_copies<T>().copy(stage_.data(), offsets_.data(), k_count, parts_.data(),
                              static_cast<int64_t>(parts_.size()), out, tile_);
      }
    }
    /// Whether each vector of a panel of patches lies in the stage as it is: then nothing is packed.
    bool gathers() const { return c_.kernels_.gathering && channels_.size() % (tile_ / 2) == 0; }

    void gather(int64_t column, int64_t count, bool first) const {
      const auto k_count = static_cast<int64_t>(offsets_.size());
      const auto patches = [&](int64_t j) {
        return stage_.data() + stage_.offset_of(j % channels_.size(), j / channels_.size());
      };
      alignas(64) T half[kWidestTile * kTallestTile];
      for (int64_t tile = 0; tile < tiles(); ++tile) {
        const Span rows = part_of(rows_.size(), tiles(), tile);
        const auto kernel = c_.kernels_.gathering[rows.size() - 1];
        const T* const g = packed_g_.data() + tile * panel_of_g(k_count);
        T* const to = sums() + rows.first * columns_;
        int64_t j = column;
        for (; j + tile_ <= column + count; j += tile_) {
          kernel(g, patches(j), patches(j + tile_ / 2), offsets_.data(), k_count, to + j, columns_, !first);
        }
        if (j == column + count) continue;
        kernel(g, patches(j), patches(j), offsets_.data(), k_count, half, tile_, false);
        for (int64_t r = 0; r < rows.size(); ++r) {
          for (int64_t i = 0; i < tile_ / 2; ++i) {
            T& sum = to[r * columns_ + j + i];
            sum = half[r * tile_ + i] + (first ? T{0} : sum);
          }
        }
      }
    }
    /// [rows, columns]
    T* sums() const { return c_.sums_of(partial_, group_, channels_) + rows_.first * columns_; }

    void multiply(int64_t column, int64_t count, int64_t k_count, bool first) const {
      const GemmOutput<T> out{.c = sums(), .stride = columns_};
      for (int64_t tile = 0; tile < tiles(); ++tile) {
        const Span rows = part_of(rows_.size(), tiles(), tile);
        c_.kernels_.multiply({packed_g_.data() + tile * panel_of_g(k_count)}, {packed_.data()},
                             {rows.first, rows.size(), column, count, k_count, first, true}, out);
      }
    }

    const WeightGradient& c_;
    const WeightProblem<T>& p_;
    const int64_t partial_, group_;
    const Span channels_, rows_;
    const int64_t columns_, tile_;
    TransposedStage<T> stage_;
    Scratch<T> packed_g_;
    const int64_t panels_;  // of patches packed at a time
    Scratch<T> packed_;
    std::vector<int64_t> offsets_;
    std::vector<RowPart> parts_;
  };

  /// [out, taps, channels] of a part of the channels.
  T* sums_of(int64_t partial, int64_t group, Span channels) const {
    return sums_.data() + ((partial * p_.groups + group) * p_.channels + channels.first) * p_.out * p_.taps();
  }

  /// The sums of all ranges of pixels, in their order, to row `row` of the result.
  void add_up(int64_t row) const {
    const int64_t taps = p_.taps();
    T* to = p_.result + row * p_.channels * taps;
    for (int64_t part = 0; part < channel_parts_; ++part) {
      const Span channels = part_of(p_.channels, channel_parts_, part);
      const int64_t count = channels.size() * taps;
      const auto sums = [&](int64_t partial) {
        return sums_of(partial, row / p_.out, channels) + row % p_.out * count;
      };
      T* const total = sums(0);
      for (int64_t partial = 1; partial < partials_; ++partial) {
        const T* more = sums(partial);
        for (int64_t i = 0; i < count; ++i) total[i] += more[i];
      }
      for (int64_t tap = 0; tap < taps; ++tap) {
        for (int64_t c = 0; c < channels.size(); ++c) to[c * taps + tap] = total[tap * channels.size() + c];
      }
      to += count;
    }
  }

  const WeightProblem<T>& p_;
  const GemmKernels<T, T>& kernels_;
  const PixelBlocks blocks_;
  const int64_t channel_parts_, row_parts_, partials_;
  const Scratch<T> sums_;
};

}  // namespace

void call::Conv2dGradientWeight::run(Cpu) const {
  if (out.elements() == 0) return;
  dispatch_real(g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    if (g.elements() == 0) {
      std::fill_n(out.data<T>(), out.elements(), T{0});
      return;
    }
    const int64_t groups = options.groups;
    const WeightProblem<T> problem{.g = g.data<T>(),
                                   .x = x.data<T>(),
                                   .result = out.data<T>(),
                                   .batch = x.size(0),
                                   .groups = groups,
                                   .out = g.size(1) / groups,
                                   .rows = g.size(2),
                                   .columns = g.size(3),
                                   .channels = x.size(1) / groups,
                                   .height = x.size(2),
                                   .width = x.size(3),
                                   .kernel_h = out.size(2),
                                   .kernel_w = out.size(3),
                                   .options = options};
    WeightGradient<T>(problem).run();
  });
}

}  // namespace haze

#include "haze/engine/ops/convolution.h"

#include <vector>

#include "haze/engine/cpu/convolution_stage.h"
#include "haze/engine/cpu/parallel.h"

// Convolution as a product weight [out, in taps] x patches [in taps, pixels]. The patches are never written
// out: the micro-kernel reads them in the stage, or from panels of one block of them. The gradient of the
// input is the same with other taps.
namespace haze {
namespace {

template <typename T>
class PatchProduct {
 public:
  explicit PatchProduct(const PatchProblem<T>& problem)
      : p_(problem),
        kernels_(gemm_kernels<T, T>()),
        blocks_(block_of_channels()),
        weight_(problem, kernels_),
        pixels_(p_.batch, p_.rows * p_.columns, most_pixels(), kernels_.tile_columns) {}

  void run() const {
    const int64_t tasks = pixels_.count() * p_.groups;
    // More tasks than threads, also where there are few pixels: packing them twice costs less than waiting.
    const int64_t parts = std::clamp<int64_t>(ceil_divide(2 * threads(), tasks), 1, weight_.tiles());
    const int64_t multiplications =
        p_.batch * p_.rows * p_.columns * p_.groups * p_.out * p_.channels * most_taps();
    parallel_for_uneven(tasks * parts, multiplications > kConvolutionWorthSharing, [&](int64_t i) {
      const int64_t task = i / parts;
      Task(*this, pixels_[task / p_.groups], task % p_.groups, part_of(weight_.tiles(), parts, i % parts))
          .run();
    });
  }

 private:
  /// One block of pixels, and a range of tiles of the result's channels.
  class Task {
   public:
    Task(const PatchProduct& product, const PixelBlock& block, int64_t group, Span tiles)
        : c_(product),
          p_(product.p_),
          block_(block),
          group_(group),
          tiles_(tiles),
          rows_{block.pixels.first / p_.columns, (block.pixels.last - 1) / p_.columns + 1},
          width_(round_up(block.count(), product.kernels_.tile_columns)),
          stage_(p_, product.blocks_, block.images.size(), rows_.size()),
          packed_(width_ * product.blocks_ * product.most_taps()),
          // Panels of one image's pixels are summed where they belong, others in memory of their own.
          in_place_(p_.phases.size() == 1 && p_.step_h == 1 && p_.step_w == 1 &&
                    (block.images.size() == 1 || block.pixels.size() % product.kernels_.tile_columns == 0)),
          sums_(in_place_ ? 0 : static_cast<int64_t>(p_.phases.size()) * channel_rows().size() * width_) {}

    void run() {
      stage_.clear(block_.images.size(), std::min(c_.blocks_, p_.channels), rows_.size());
      find_parts();
      for (int64_t c = 0; c == 0 || c < p_.channels; c += c_.blocks_) {
        const Span channels{c, std::min(c + c_.blocks_, p_.channels)};
        stage_.fill(group_, block_.images, channels, rows_);
        for (size_t phase = 0; phase < p_.phases.size(); ++phase) {
          find_offsets(p_.phases[phase], channels.size());
          if (!gathers_) pack();
          multiply(phase, channels);
        }
      }
      if (!in_place_) scatter();
    }

   private:
    Span channel_rows() const {
      return {c_.weight_.rows(tiles_.first).first, c_.weight_.rows(tiles_.last - 1).last};
    }

    /// Which vectors of the stage make a row of each panel.
    void find_parts() {
      const int64_t tile = c_.kernels_.tile_columns, lanes = part_copies<T>().lanes;
      gathers_ = tile == 2 * lanes && c_.kernels_.gathering;
      parts_.clear();
      starts_ = {0};
      for (int64_t first = 0; first < block_.count(); first += tile) {
        const int64_t last = std::min(first + tile, block_.count());
        for (int64_t j = first; j < last;) {
          const int64_t pixel = block_.pixels.first + j % block_.pixels.size();
          const int64_t x = pixel % p_.columns;
          const int64_t run = std::min({p_.columns - x, last - j, block_.pixels.last - pixel});
          const int64_t from = stage_.offset(j / block_.pixels.size(), pixel / p_.columns - rows_.first, x);
          for (int64_t i = 0; i < run; i += lanes) parts_.push_back({from + i, j - first + i});
          j += run;
        }
        starts_.push_back(parts_.size());
        gathers_ = gathers_ && last - first == 2 * lanes && parts_.size() - starts_[starts_.size() - 2] == 2;
      }
    }

    /// Where the elements along K lie in the stage.
    void find_offsets(const Phase& phase, int64_t channels) {
      offsets_.clear();
      for (int64_t c = 0; c < channels; ++c) {
        for (const Tap& tap : phase.taps) offsets_.push_back(stage_.offset_of(c, tap));
      }
    }

    void pack() {
      const int64_t tile = c_.kernels_.tile_columns;
      const auto k_count = static_cast<int64_t>(offsets_.size());
      T* out = packed_.data();
      for (size_t i = 0; i + 1 < starts_.size(); ++i, out += k_count * tile) {
        // Columns that are missing are multiplied too, and subnormal numbers, which may be lying there, take
        // a hundred times as long as zeros.
        if (i + 2 == starts_.size() && block_.count() % tile != 0) std::fill_n(out, k_count * tile, T{0});
        part_copies<T>().copy(stage_.data(), offsets_.data(), k_count, parts_.data() + starts_[i],
                              static_cast<int64_t>(starts_[i + 1] - starts_[i]), out, tile);
      }
    }

    void multiply(size_t phase, Span channels) const {
      const int64_t images = in_place_ ? block_.images.size() : 1,
                    k_count = c_.weight_.k_count_of(phase, channels);
      for (int64_t tile = tiles_.first; tile < tiles_.last; ++tile) {
        for (int64_t i = 0; i < images; ++i) {
          if (tile + 1 < tiles_.last) prefetch_weight(tile + 1, phase, channels, part_of(k_count, images, i));
          multiply_image(phase, tile, i, block_.count() / images, channels);
        }
      }
    }
    void multiply_image(size_t phase, int64_t tile, int64_t image, int64_t pixels, Span channels) const {
      const Span rows = c_.weight_.rows(tile);
      const T* const weight = c_.weight_.panel(group_, tile, phase, channels.first);
      const int64_t k_count = c_.weight_.k_count_of(phase, channels), panel = c_.kernels_.tile_columns;
      GemmOutput<T> out = output(phase, image, rows.first);
      const bool first = channels.first == 0;
      if (first && (p_.bias || k_count == 0)) {
        out.accumulate = true;
        for (int64_t r = 0; r < rows.size(); ++r) {
          const T start = p_.bias ? p_.bias[group_ * p_.out + rows.first + r] : T{0};
          std::fill_n(out.c + r * out.stride, pixels, start);
        }
      }
      if (k_count == 0) return;
      if (!gathers_) {
        return c_.kernels_.multiply({weight}, {packed_.data() + image * pixels * k_count},
                                    {0, rows.size(), 0, pixels, k_count, first, true}, out);
      }
      const auto kernel = c_.kernels_.gathering[rows.size() - 1];
      for (int64_t j = 0; j < pixels; j += panel) {
        const RowPart* part = parts_.data() + starts_[static_cast<size_t>((image * pixels + j) / panel)];
        kernel(weight, stage_.data() + part[0].from, stage_.data() + part[1].from, offsets_.data(), k_count,
               out.c + j, out.stride, !first || out.accumulate);
      }
    }

    /// Weights are read for the first time since the last block of pixels, and perhaps from memory. They come
    /// to the second-level cache: the first one is full of those in use.
    void prefetch_weight(int64_t tile, size_t phase, Span channels, Span k_count) const {
      const int64_t rows = c_.kernels_.tile_rows;
      const T* const panel = c_.weight_.panel(group_, tile, phase, channels.first);
      constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
      for (int64_t i = k_count.first * rows; i < k_count.last * rows; i += kLine)
        __builtin_prefetch(panel + i, 0, 2);
    }

    /// Where the block's first pixel of channel `row` is summed, of its image i where that is in place.
    GemmOutput<T> output(size_t phase, int64_t i, int64_t row) const {
      if (in_place_) {
        return {.c = plane(block_.images.first + i, row) + block_.pixels.first,
                .stride = p_.out_height * p_.out_width};
      }
      const int64_t rows = channel_rows().size();
      const int64_t at = static_cast<int64_t>(phase) * rows + row - channel_rows().first;
      return {.c = sums_.data() + at * width_, .stride = width_};
    }
    T* plane(int64_t image, int64_t channel) const {
      return p_.result + ((image * p_.groups + group_) * p_.out + channel) * p_.out_height * p_.out_width;
    }

    /// From the sums of all phases to the result.
    void scatter() const {
      const Span channels = channel_rows();
      for (int64_t channel = channels.first; channel < channels.last; ++channel) {
        for (int64_t image = 0; image < block_.images.size(); ++image) {
          for (size_t i = 0; i < p_.phases.size(); i += static_cast<size_t>(phases_across())) {
            scatter_rows(i, image * block_.pixels.size(), channel,
                         plane(block_.images.first + image, channel));
          }
        }
      }
    }
    int64_t phases_across() const { return std::min(p_.step_w, p_.out_width); }

    /// The rows of a plane that the phases from `first` on, which differ across only, make together.
    void scatter_rows(size_t first, int64_t at, int64_t channel, T* plane) const {
      for (int64_t pixel = block_.pixels.first; pixel < block_.pixels.last;) {
        const int64_t y = pixel / p_.columns * p_.step_h + p_.phases[first].y, x = pixel % p_.columns;
        const int64_t run = std::min(p_.columns - x, block_.pixels.last - pixel);
        T* const to = plane + y * p_.out_width + x * p_.step_w;
        const int64_t width = std::min(run * p_.step_w, p_.out_width - x * p_.step_w);
        const int64_t from = at + pixel - block_.pixels.first;
        if (y < p_.out_height && phases_across() == 2) {
          interleave(output(first, 0, channel).c + from, output(first + 1, 0, channel).c + from, width, to);
        } else if (y < p_.out_height) {
          for (int64_t phase = 0; phase < phases_across(); ++phase) {
            const T* sums = output(first + static_cast<size_t>(phase), 0, channel).c + from;
            for (int64_t i = phase; i < width; i += p_.step_w) to[i] = *sums++;
          }
        }
        pixel += run;
      }
    }
    static void interleave(const T* even, const T* odd, int64_t width, T* to) {
      for (int64_t i = 0; i < width / 2; ++i) {
        to[2 * i] = even[i];
        to[2 * i + 1] = odd[i];
      }
      if (width % 2 != 0) to[width - 1] = even[width / 2];
    }

    const PatchProduct& c_;
    const PatchProblem<T>& p_;
    const PixelBlock block_;
    const int64_t group_;
    const Span tiles_, rows_;  // of the packed weight, of the grid
    const int64_t width_;
    PatchStage<T> stage_;
    Scratch<T> packed_;
    const bool in_place_;
    Scratch<T> sums_;  // [phase, channel, width]
    std::vector<RowPart> parts_;
    std::vector<size_t> starts_;    // of the panels' parts
    std::vector<int64_t> offsets_;  // along K
    // Whether each vector of a panel lies in the stage as it is: then nothing is packed.
    bool gathers_ = false;
  };

  int64_t most_taps() const {
    size_t taps = 0;
    for (const Phase& phase : p_.phases) taps = std::max(taps, phase.taps.size());
    return static_cast<int64_t>(taps);
  }
  /// Channels that make K of one pass.
  int64_t block_of_channels() const {
    const int64_t most = std::max<int64_t>(kMostOfK / std::max<int64_t>(most_taps(), 1), 1);
    return std::max<int64_t>(ceil_divide(p_.channels, std::max<int64_t>(ceil_divide(p_.channels, most), 1)),
                             1);
  }
  int64_t most_pixels() const {
    const int64_t k_count = std::max<int64_t>(blocks_ * most_taps(), 1);
    const int64_t phases = static_cast<int64_t>(p_.phases.size());
    const int64_t pixels =
        std::min(kConvolutionPacked / (k_count * static_cast<int64_t>(sizeof(T))), 1024 / phases);
    return std::max(pixels / kernels_.tile_columns, int64_t{1}) * kernels_.tile_columns;
  }

  const PatchProblem<T>& p_;
  const GemmKernels<T, T>& kernels_;
  const int64_t blocks_;
  const PackedWeight<T> weight_;
  const PixelBlocks pixels_;
};

}  // namespace

void call::Conv2d::run(Cpu) const {
  if (out.elements() == 0) return;
  dispatch_real(x.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const int64_t kernel_h = weight.size(2), kernel_w = weight.size(3), groups = options.groups;
    Phase phase{0, 0, {}};
    for (int64_t i = 0; i < kernel_h * kernel_w; ++i) {
      phase.taps.push_back({i / kernel_w * options.dilation_h - options.top,
                            i % kernel_w * options.dilation_w - options.left, i});
    }
    const int64_t channels = weight.size(1), outs = weight.size(0) / groups, taps = kernel_h * kernel_w;
    const PatchProblem<T> problem{.batch = x.size(0),
                                  .groups = groups,
                                  .rows = out.size(2),
                                  .columns = out.size(3),
                                  .source = x.data<T>(),
                                  .channels = channels,
                                  .height = x.size(2),
                                  .width = x.size(3),
                                  .stride_h = options.stride_h,
                                  .stride_w = options.stride_w,
                                  .weight = weight.data<T>(),
                                  .weight_out = channels * taps,
                                  .weight_channel = taps,
                                  .weight_group = outs * channels * taps,
                                  .bias = bias.defined() ? bias.data<T>() : nullptr,
                                  .result = out.data<T>(),
                                  .out = outs,
                                  .out_height = out.size(2),
                                  .out_width = out.size(3),
                                  .step_h = 1,
                                  .step_w = 1,
                                  .phases = {phase}};
    PatchProduct<T>(problem).run();
  });
}

void call::Conv2dGradientX::run(Cpu) const {
  if (out.elements() == 0) return;
  const int64_t kernel_h = weight.size(2), kernel_w = weight.size(3), groups = options.groups;
  // Pixel y of x was seen by tap i of window (y + top - i dilation) / stride, where that is whole: rows of x
  // that are a stride apart have the same taps.
  std::vector<Phase> phases;
  for (int64_t y = 0; y < std::min(options.stride_h, out.size(2)); ++y) {
    for (int64_t x = 0; x < std::min(options.stride_w, out.size(3)); ++x) {
      Phase phase{y, x, {}};
      for (int64_t i = 0; i < kernel_h * kernel_w; ++i) {
        const int64_t down = y + options.top - i / kernel_w * options.dilation_h;
        const int64_t across = x + options.left - i % kernel_w * options.dilation_w;
        if (down % options.stride_h != 0 || across % options.stride_w != 0) continue;
        phase.taps.push_back({down / options.stride_h, across / options.stride_w, i});
      }
      phases.push_back(phase);
    }
  }
  dispatch_real(g.dtype(), [&](auto tag) {
    using T = decltype(tag);
    const int64_t channels = weight.size(0) / groups, outs = weight.size(1), taps = kernel_h * kernel_w;
    const PatchProblem<T> problem{.batch = g.size(0),
                                  .groups = groups,
                                  .rows = ceil_divide(out.size(2), options.stride_h),
                                  .columns = ceil_divide(out.size(3), options.stride_w),
                                  .source = g.data<T>(),
                                  .channels = channels,
                                  .height = g.size(2),
                                  .width = g.size(3),
                                  .stride_h = 1,
                                  .stride_w = 1,
                                  .weight = weight.data<T>(),
                                  .weight_out = taps,
                                  .weight_channel = outs * taps,
                                  .weight_group = channels * outs * taps,
                                  .bias = bias.defined() ? bias.data<T>() : nullptr,
                                  .result = out.data<T>(),
                                  .out = outs,
                                  .out_height = out.size(2),
                                  .out_width = out.size(3),
                                  .step_h = options.stride_h,
                                  .step_w = options.stride_w,
                                  .phases = phases};
    PatchProduct<T>(problem).run();
  });
}

}  // namespace haze

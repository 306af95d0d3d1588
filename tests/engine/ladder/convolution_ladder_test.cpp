#include <set>

#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"
#include "haze/engine/simt/checker.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

struct Layer {
  Shape image;  // [batch, in, height, width]
  int64_t out, kernel_h, kernel_w, padding;
};

struct Operands {
  std::vector<float> x, weight;
  Layer layer;
  int64_t rows, columns;  // of the result

  explicit Operands(const Layer& of)
      : layer(of),
        rows(of.image[2] + 2 * of.padding - of.kernel_h + 1),
        columns(of.image[3] + 2 * of.padding - of.kernel_w + 1) {
    Generator generator(1);
    x = normal(layer.image, generator).to_vector<float>();
    weight = normal(weight_shape(), generator).to_vector<float>();
  }
  Shape weight_shape() const { return {layer.out, layer.image[1], layer.kernel_h, layer.kernel_w}; }

  Tensor result(unsigned rung, Device device = Device::simt) const {
    const Tensor out({layer.image[0], layer.out, rows, columns}, Dtype::float32, device);
    launch(ladder::Convolution{rung, Tensor::from<float>(x, layer.image, device),
                               Tensor::from<float>(weight, weight_shape(), device), layer.padding, out});
    return out;
  }

  /// An element of the result, term by term.
  double reference(int64_t batch, int64_t out, int64_t row, int64_t column) const {
    const Shape& image = layer.image;
    double sum = 0;
    for (int64_t c = 0; c < image[1]; ++c) {
      for (int64_t i = 0; i < layer.kernel_h; ++i) {
        for (int64_t j = 0; j < layer.kernel_w; ++j) {
          const int64_t y = row + i - layer.padding, across = column + j - layer.padding;
          if (y < 0 || y >= image[2] || across < 0 || across >= image[3]) continue;
          const int64_t at = ((batch * image[1] + c) * image[2] + y) * image[3] + across;
          const int64_t tap = ((out * image[1] + c) * layer.kernel_h + i) * layer.kernel_w + j;
          sum += double{x[static_cast<size_t>(at)]} * weight[static_cast<size_t>(tap)];
        }
      }
    }
    return sum;
  }
  double largest_error(const Tensor& got) const {
    const std::vector<float> values = to(got, Device::cpu).to_vector<float>();
    double largest = 0;
    size_t i = 0;
    for (int64_t batch = 0; batch < layer.image[0]; ++batch) {
      for (int64_t out = 0; out < layer.out; ++out) {
        for (int64_t row = 0; row < rows; ++row) {
          for (int64_t column = 0; column < columns; ++column) {
            largest = std::max(largest, std::abs(values[i++] - reference(batch, out, row, column)));
          }
        }
      }
    }
    return largest;
  }
};

}  // namespace

TEST_CASE("ladder: every rung of convolution gives the result, the same bits in every order of its threads") {
  // Past the edges of every tile: of 32 x 8 pixels, and of 64 channels x 128 windows x 16 taps.
  for (const Layer& layer : {Layer{{1, 1, 5, 34}, 2, 2, 2, 0}, Layer{{1, 2, 9, 2}, 66, 1, 1, 0},
                             Layer{{3, 2, 3, 2}, 2, 4, 3, 2}}) {
    const Operands operands(layer);
    check_rungs<ladder::Convolution>(
        [&](unsigned rung, Device device) { return operands.result(rung, device); },
        [&](const Tensor& result) { CHECK(operands.largest_error(result) < 1e-5); });
  }
}

TEST_CASE("ladder: a convolution of no channels is 0 in every rung") {
  const Operands operands({{2, 0, 3, 3}, 2, 3, 3, 1});
  check_rungs<ladder::Convolution>(
      [&](unsigned rung, Device device) { return operands.result(rung, device); },
      [](const Tensor& result) {
        for (float y : result.to_vector<float>()) CHECK(y == 0);
      });
}

TEST_CASE("ladder: convolution reads and writes whole sectors, and its tiles have no bank conflicts") {
  // Images of 32 x 32 pixels: a warp has a row. Of direct's requests, half are for a weight, which is one
  // sector for all lanes. A tile with its halo has rows of 34 pixels, which begin anywhere in a sector.
  constexpr double kMostRead[] = {4, 5, 4};
  const Operands operands({{1, 16, 32, 32}, 64, 3, 3, 1});
  simt::set_sampled_blocks(1);
  const std::vector<simt::LaunchCounts> counts =
      counts_of_rungs<ladder::Convolution>([&](unsigned rung) { operands.result(rung); });
  simt::set_sampled_blocks(0);
  for (unsigned rung = 0; rung < counts.size(); ++rung) {
    CAPTURE(ladder::Convolution::kRungs[rung].name);
    CHECK(sectors_a_request(counts[rung].total(false, false)) <= kMostRead[rung]);
    CHECK(sectors_a_request(counts[rung].total(false, true)) == 4);
    CHECK(counts[rung].total(true, false).conflicts == 0);
    CHECK(counts[rung].total(true, true).conflicts == 0);
  }
  CHECK(sectors_a_request(counts.back().total(false, false)) == 4);
}

TEST_CASE("ladder: each barrier and wait of convolution is needed") {
  const Operands operands({{1, 4, 8, 12}, 2, 3, 3, 1});
  const std::vector<size_t> barriers =
      barriers_of_rungs<ladder::Convolution>([&](unsigned rung) { operands.result(rung); });
  CHECK(barriers == std::vector<size_t>{0, 2, 4});
}

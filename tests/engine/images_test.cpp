#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/thread_bits.h"

using namespace haze;
using namespace haze::test;

namespace {

struct Convolution {
  int64_t batch, channels, height, width, out, kernel_h, kernel_w, stride, padding;
};

constexpr Convolution kConvolutions[] = {{1, 1, 1, 1, 1, 1, 1, 1, 0}, {2, 3, 7, 5, 4, 3, 3, 1, 1},
                                         {1, 2, 8, 9, 3, 2, 3, 2, 0}, {3, 1, 5, 5, 2, 5, 5, 1, 2},
                                         {1, 4, 6, 6, 2, 1, 1, 1, 0}, {2, 2, 4, 3, 3, 3, 2, 3, 2},
                                         {1, 1, 2, 2, 1, 3, 3, 1, 3}, {1, 2, 40, 33, 5, 3, 3, 1, 1}};

// Cross-correlation as it is defined: the pixel at (y, x) of every window, 0 outside the image.
std::vector<double> direct_convolution(const Convolution& c, const std::vector<double>& x,
                                       const std::vector<double>& weight, const std::vector<double>& bias) {
  const int64_t out_h = (c.height + 2 * c.padding - c.kernel_h) / c.stride + 1;
  const int64_t out_w = (c.width + 2 * c.padding - c.kernel_w) / c.stride + 1;
  std::vector<double> result;
  for (int64_t n = 0; n < c.batch; ++n) {
    for (int64_t o = 0; o < c.out; ++o) {
      for (int64_t row = 0; row < out_h; ++row) {
        for (int64_t column = 0; column < out_w; ++column) {
          double sum = bias[static_cast<size_t>(o)];
          for (int64_t channel = 0; channel < c.channels; ++channel) {
            for (int64_t i = 0; i < c.kernel_h; ++i) {
              for (int64_t j = 0; j < c.kernel_w; ++j) {
                const int64_t py = row * c.stride + i - c.padding, px = column * c.stride + j - c.padding;
                if (py < 0 || py >= c.height || px < 0 || px >= c.width) continue;
                const int64_t pixel = ((n * c.channels + channel) * c.height + py) * c.width + px;
                const int64_t tap = ((o * c.channels + channel) * c.kernel_h + i) * c.kernel_w + j;
                sum += x[static_cast<size_t>(pixel)] * weight[static_cast<size_t>(tap)];
              }
            }
          }
          result.push_back(sum);
        }
      }
    }
  }
  return result;
}

}  // namespace

TEST_CASE("conv2d agrees with the direct seven loops in float64") {
  Generator generator(1);
  for (const Convolution& c : kConvolutions) {
    for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
      const Tensor x = normal({c.batch, c.channels, c.height, c.width}, generator, 0, 1, dtype);
      const Tensor weight = normal({c.out, c.channels, c.kernel_h, c.kernel_w}, generator, 0, 1, dtype);
      const Tensor bias = normal({c.out}, generator, 0, 1, dtype);
      for (bool biased : {true, false}) {
        const Tensor result = conv2d(x, weight, biased ? bias : Tensor(), c.stride, c.padding);
        CHECK(result.size(0) == c.batch);
        CHECK(result.size(1) == c.out);
        const Tensor offsets = biased ? bias : zeros({c.out}, dtype);
        const auto expected = direct_convolution(c, x.to_vector<double>(), weight.to_vector<double>(),
                                                 offsets.to_vector<double>());
        const std::vector<double> values = result.to_vector<double>();
        REQUIRE(values.size() == expected.size());
        for (size_t i = 0; i < values.size(); ++i) {
          REQUIRE(std::abs(values[i] - expected[i]) < (dtype == Dtype::float32 ? 3e-5 : 1e-12));
        }
      }
    }
  }
}

TEST_CASE("conv2d takes views") {
  Generator generator(2);
  const Tensor x = normal({2, 6, 5, 3}, generator), weight = normal({3, 3, 3, 4}, generator);
  const Tensor x_view = transpose(x, 1, 3), weight_view = transpose(weight, 2, 3);
  CHECK(
      same_bits(conv2d(x_view, weight_view, {}, 1, 1), conv2d(clone(x_view), clone(weight_view), {}, 1, 1)));
}

TEST_CASE("unfold lays out patches as columns") {
  const Tensor x = reshape(arange(9, Dtype::float64), {1, 1, 3, 3});
  const Tensor columns = unfold(x, 2, 2, 1, 0);
  CHECK(columns.shape() == Shape{1, 4, 4});
  CHECK(columns.to_vector<double>() == std::vector<double>{0, 1, 3, 4, 1, 2, 4, 5, 3, 4, 6, 7, 4, 5, 7, 8});
  CHECK(unfold(x, 3, 3, 3, 1).to_vector<double>() == std::vector<double>{0, 0, 0, 0, 0, 1, 0, 3, 4});
  for (Dtype dtype : {Dtype::bfloat16, Dtype::int32, Dtype::uint8}) {
    CHECK(unfold(cast(x, dtype), 2, 2, 1, 1).to_vector<double>() ==
          unfold(x, 2, 2, 1, 1).to_vector<double>());
  }
}

TEST_CASE("fold is the adjoint of unfold: <unfold x, y> = <x, fold y>") {
  Generator generator(3);
  for (const Convolution& c : kConvolutions) {
    const Tensor x = normal({c.batch, c.channels, c.height, c.width}, generator, 0, 1, Dtype::float64);
    const Tensor columns = unfold(x, c.kernel_h, c.kernel_w, c.stride, c.padding);
    const Tensor y = normal(columns.shape(), generator, 0, 1, Dtype::float64);
    const Tensor folded = fold(y, c.height, c.width, c.kernel_h, c.kernel_w, c.stride, c.padding);
    REQUIRE(folded.shape() == x.shape());
    const double left = sum(multiply(columns, y)).item(), right = sum(multiply(x, folded)).item();
    CHECK(left == doctest::Approx(right).epsilon(1e-11));
  }
}

TEST_CASE("fold of unfolded ones counts the windows over each pixel") {
  const Tensor counts = fold(unfold(ones({1, 1, 3, 3}), 2, 2, 1, 0), 3, 3, 2, 2, 1, 0);
  CHECK(counts.to_vector<float>() == std::vector<float>{1, 2, 1, 2, 4, 2, 1, 2, 1});
}

TEST_CASE("pooling takes the mean and the first maximum of each window") {
  const Tensor x = Tensor::from({1.0, 2.0, 5.0, 5.0, 3.0, 4.0, 5.0, 1.0,  //
                                 -1.0, -2.0, 0.0, 0.0, -3.0, -4.0, 0.0, 8.0},
                                {1, 2, 2, 4});
  CHECK(average_pool(x, 2).to_vector<double>() == std::vector<double>{2.5, 4, -2.5, 2});
  const auto [values, indices] = max_pool(x, 2);
  CHECK(values.shape() == Shape{1, 2, 1, 2});
  CHECK(values.to_vector<double>() == std::vector<double>{4, 5, -1, 8});
  CHECK(indices.to_vector<int32_t>() == std::vector<int32_t>{5, 2, 0, 7});
  CHECK(same_bits(average_pool(x, 1), x));
}

TEST_CASE("pooling of larger images agrees with reductions of reshaped ones") {
  Generator generator(4);
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    const Tensor x = normal({3, 2, 12, 18}, generator, 0, 1, dtype);
    const Tensor windows = reshape(x, {6, 4, 3, 6, 3});  // [planes, rows, y, columns, x]
    CHECK(max_pool(x, 3).first.to_vector<double>() ==
          reduce(ReduceOp::max, windows, {2, 4}).to_vector<double>());
    const std::vector<double> means = reduce(ReduceOp::mean, windows, {2, 4}).to_vector<double>();
    const std::vector<double> pooled = average_pool(x, 3).to_vector<double>();
    for (size_t i = 0; i < means.size(); ++i) CHECK(pooled[i] == doctest::Approx(means[i]).epsilon(1e-5));
    const auto [values, indices] = max_pool(x, 3);
    CHECK(same_bits(reshape(values, {6, 24}), gather(reshape(x, {6, 216}), 1, reshape(indices, {6, 24}))));
  }
}

TEST_CASE("max_pool passes a NaN on") {
  const Tensor x = Tensor::from({1.0f, NAN, 3.0f, NAN}, {1, 1, 2, 2});
  const auto [values, indices] = max_pool(x, 2);
  CHECK(std::isnan(values.item()));
  CHECK(indices.item() == 1);
}

TEST_CASE("upsample repeats pixels, of every dtype, and average_pool undoes it") {
  const Tensor x = Tensor::from({1.0f, 2.0f, 3.0f, 4.0f}, {1, 1, 2, 2});
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32, Dtype::uint8}) {
    CHECK(upsample(cast(x, dtype), 2).to_vector<double>() ==
          std::vector<double>{1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4});
  }
  CHECK(same_bits(average_pool(upsample(x, 4), 4), x));
}

TEST_CASE("image operations take views and empty tensors") {
  Generator generator(5);
  const Tensor view = transpose(normal({2, 6, 6, 4}, generator), 1, 3), dense = clone(view);
  CHECK(same_bits(unfold(view, 3, 2, 1, 1), unfold(dense, 3, 2, 1, 1)));
  CHECK(same_bits(average_pool(view, 2), average_pool(dense, 2)));
  CHECK(same_bits(max_pool(view, 2).second, max_pool(dense, 2).second));
  CHECK(same_bits(upsample(view, 2), upsample(dense, 2)));
  const Tensor columns = normal({2, 25, 27}, generator);
  const Tensor turned = transpose(slice(columns, 2, 0, 9, 1));  // [2, 9, 25]
  CHECK(same_bits(fold(turned, 7, 7, 3, 3, 1, 0), fold(clone(turned), 7, 7, 3, 3, 1, 0)));

  CHECK(unfold(zeros({0, 3, 4, 4}), 2, 2, 1, 0).shape() == Shape{0, 12, 9});
  CHECK(unfold(zeros({2, 3, 0, 0}), 2, 2, 1, 1).to_vector<float>() == std::vector<float>(2 * 12));
  CHECK(fold(zeros({0, 12, 9}), 4, 4, 2, 2, 1, 0).shape() == Shape{0, 3, 4, 4});
  CHECK(fold(zeros({2, 12, 1}), 0, 0, 2, 2, 1, 1).shape() == Shape{2, 3, 0, 0});
  CHECK(average_pool(zeros({2, 3, 0, 4}), 2).shape() == Shape{2, 3, 0, 2});
  CHECK(max_pool(zeros({0, 3, 2, 4}), 2).second.shape() == Shape{0, 3, 1, 2});
  CHECK(upsample(zeros({2, 0, 2, 4}), 2).shape() == Shape{2, 0, 4, 8});
  CHECK(conv2d(zeros({0, 3, 4, 4}), zeros({5, 3, 3, 3}), zeros({5})).shape() == Shape{0, 5, 2, 2});
  CHECK(conv2d(zeros({2, 3, 4, 4}), zeros({0, 3, 3, 3}), zeros({0})).shape() == Shape{2, 0, 2, 2});
  CHECK(conv2d(zeros({1, 0, 2, 2}), zeros({1, 0, 2, 2}), ones({1})).to_vector<float>() ==
        std::vector<float>{1});
}

TEST_CASE("image operations give the same bits on any number of threads") {
  Generator generator(6);
  const Tensor x = normal({3, 5, 48, 42}, generator), weight = normal({4, 5, 3, 3}, generator);
  const Tensor columns = unfold(x, 3, 3, 2, 1);
  CHECK(same_bits_on_threads([&] { return unfold(x, 3, 3, 2, 1); }));
  CHECK(same_bits_on_threads([&] { return fold(columns, 48, 42, 3, 3, 2, 1); }));
  CHECK(same_bits_on_threads([&] { return conv2d(x, weight, {}, 1, 1); }));
  CHECK(same_bits_on_threads([&] { return average_pool(x, 2); }));
  CHECK(same_bits_on_threads([&] { return max_pool(x, 3).second; }));
  CHECK(same_bits_on_threads([&] { return upsample(x, 2); }));
}

TEST_CASE("image operations say what is wrong") {
  const Tensor x = zeros({1, 2, 4, 6}), weight = zeros({3, 2, 3, 3});
  CHECK_THROWS_WITH_AS(unfold(zeros({2, 3}), 1, 1, 1, 0), "unfold: x has shape [2, 3], it takes 4 axes",
                       Error);
  CHECK_THROWS_WITH_AS(unfold(x, 0, 2, 1, 0), "unfold: the kernel is 0 x 2, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(unfold(x, 2, 2, 0, 0), "unfold: the stride is 0, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(unfold(x, 2, 2, 1, -1), "unfold: the padding is -1, it takes 0 or more", Error);
  CHECK_THROWS_WITH_AS(unfold(x, 7, 2, 1, 1),
                       "unfold: a kernel of 7 x 2 does not fit an image of 4 x 6 with padding 1", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({2, 3}), 4, 4, 2, 2, 1, 0),
                       "fold: columns has shape [2, 3], it takes 3 axes", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 6, 9}), 4, 4, 2, 2, 1, 0),
                       "fold: columns has shape [1, 6, 9], it takes [batch, a multiple of 4, 9]", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 8, 8}), 4, 4, 2, 2, 1, 0),
                       "fold: columns has shape [1, 8, 8], it takes [batch, a multiple of 4, 9]", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 8, 9}), -4, 4, 2, 2, 1, 0),
                       "fold: an image of -4 x 4 has a negative extent", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 8, 9}), 1, 4, 2, 2, 1, 0),
                       "fold: a kernel of 2 x 2 does not fit an image of 1 x 4 with padding 0", Error);
  CHECK_THROWS_WITH_AS(fold(zeros({1, 8, 9}, Dtype::int32), 4, 4, 2, 2, 1, 0),
                       "fold: columns is int32, it takes bfloat16, float32 or float64", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({3, 2, 3}), {}), "conv2d: weight has shape [3, 2, 3], it takes 4 axes",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({3, 1, 3, 3}), {}),
                       "conv2d: x of shape [1, 2, 4, 6] has 2 channels, weight of shape [3, 1, 3, 3] takes 1",
                       Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({3, 2, 3, 3}, Dtype::float64), {}),
                       "conv2d: the arguments are float32 and float64; cast one of them", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, zeros({2})), "conv2d: bias has shape [2], it takes [3]", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, weight, zeros({3}, Dtype::float64)),
                       "conv2d: the arguments are float32 and float64; cast one of them", Error);
  CHECK_THROWS_WITH_AS(conv2d(x, zeros({3, 2, 5, 3}), {}),
                       "conv2d: a kernel of 5 x 3 does not fit an image of 4 x 6 with padding 0", Error);
  CHECK_THROWS_WITH_AS(conv2d(cast(x, Dtype::int32), weight, {}),
                       "conv2d: x is int32, it takes float32 or float64", Error);
  CHECK_THROWS_WITH_AS(average_pool(x, 0), "average_pool: the size is 0, it takes 1 or more", Error);
  CHECK_THROWS_WITH_AS(
      average_pool(x, 4),
      "average_pool: x has shape [1, 2, 4, 6], it takes a height and a width that are multiples of 4", Error);
  CHECK_THROWS_WITH_AS(max_pool(zeros({4, 4}), 2), "max_pool: x has shape [4, 4], it takes 4 axes", Error);
  CHECK_THROWS_WITH_AS(max_pool(cast(x, Dtype::int32), 2),
                       "max_pool: x is int32, it takes bfloat16, float32 or float64", Error);
  CHECK_THROWS_WITH_AS(upsample(x, 0), "upsample: the size is 0, it takes 1 or more", Error);
  CHECK_THROWS_AS(upsample(x, int64_t{1} << 62), Error);        // whose product with 4 is 0
  CHECK_THROWS_AS(upsample(x, (int64_t{1} << 62) + 1), Error);  // whose product with 4 is 4
  CHECK_THROWS_AS(unfold(x, 2, 2, 1, std::numeric_limits<int64_t>::max()), Error);
  CHECK_THROWS_WITH_AS(upsample(Tensor(), 2), "upsample: x is an undefined tensor", Error);
}

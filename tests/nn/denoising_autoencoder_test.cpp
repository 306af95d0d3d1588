#include "haze/nn/denoising_autoencoder.h"

#include <doctest/doctest.h>

#include "nn/image_networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;

const DenoisingAutoencoderConfig kSmall = {
    .image = {2, 4, 8}, .outputs = 2, .width = 4, .multipliers = {1, 2}, .groups = 2};
const Tensor kTimes = Tensor::from({0.1f, 0.5f, 0.5f}, {3});

}  // namespace

TEST_CASE("a denoising autoencoder is its formula: all that its decoder sees is the smallest level") {
  Generator generator(1);
  DenoisingAutoencoder network(kSmall, generator);
  network.to(Dtype::float64);
  randomise(network, 3, 0.3);
  const Variable x = random_images({3, 2, 4, 8}, Dtype::float64);
  const Tensor waves = cast(sinusoidal_embedding(scale_shift(kTimes, 1000, 0), 256), Dtype::float64);
  const Variable e = silu(
      linear_of(network, "time_embedding.second", silu(linear_of(network, "time_embedding.first", waves))));
  Variable h = x;
  const auto block = [&](const std::string& name, int64_t stride = 1) {
    h = conv_block_of(network, name, h, e, stride, 2);
  };
  block("encoder.0.0");
  block("encoder.0.1");
  block("encoder.1.0", 2);
  block("encoder.1.1");
  CHECK(h.shape() == Shape{3, 8, 2, 4});
  block("decoder.1.0");
  block("decoder.1.1");
  h = upsample(h, 2);
  block("decoder.0.0");
  block("decoder.0.1");
  const Variable y = network.forward(x, kTimes);
  CHECK(y.shape() == Shape{3, 4, 4, 8});
  CHECK(largest_difference(values(y), values(conv_of(network, "output", h))) < 1e-12);
}

TEST_CASE("gradients of a denoising autoencoder agree with central differences, also by x") {
  Generator generator(2);
  DenoisingAutoencoder network({.image = {1, 2, 2}, .width = 2, .multipliers = {1, 2}, .groups = 1},
                               generator);
  network.to(Dtype::float64);
  randomise(network, 3, 0.4);
  const Tensor t = Tensor::from({0.2f, 0.9f}, {2});
  check_gradients(
      "DenoisingAutoencoder", network, {random_images({2, 1, 2, 2}, Dtype::float64)},
      [&](const Inputs& given) { return network.forward(given[0], t); }, "time_embedding.first");
}

TEST_CASE("a denoising autoencoder starts as zero; then time matters, and examples do not mix") {
  Generator generator(3);
  DenoisingAutoencoder network(kSmall, generator);
  const Tensor x = random_images({3, 2, 4, 8});
  for (const double y : values(network.forward(x, kTimes))) CHECK(y == 0);
  randomise(network);
  const Variable early = network.forward(x, full({3}, 0.1, Dtype::float32));
  const Variable late = network.forward(x, full({3}, 0.9, Dtype::float32));
  CHECK(largest_difference(values(early), values(late)) > 1e-2);
  CHECK(rows_are_independent(network, x, kTimes));
  CHECK(without_gradient(network, network.forward(x, kTimes)) == "");
}

TEST_CASE("a denoising autoencoder says what is wrong") {
  Generator generator(4);
  const auto error_with = [&](auto change) {
    DenoisingAutoencoderConfig config = kSmall;
    change(config);
    return error_of([&] { DenoisingAutoencoder(config, generator); });
  };
  CHECK(error_with([](auto& c) {
          c.image = {1, 3, 4};
        }) ==
        "DenoisingAutoencoder: with 2 levels, the height and width of an image are multiples of 2, and they "
        "are 3 x 4");
  CHECK(error_with([](auto& c) { c.outputs = 0; }) == "DenoisingAutoencoder: 0 outputs");
  CHECK(error_with([](auto& c) { c.groups = 3; }) == "GroupNorm: 4 channels do not fall into 3 groups");
  const DenoisingAutoencoder network(kSmall, generator);
  CHECK(error_of([&] {
          network.forward(zeros({3, 2, 8, 8}), kTimes);
        }) == "DenoisingAutoencoder: x has shape [3, 2, 8, 8], it takes images of [2, 4, 8]");
  CHECK(error_of([&] {
          network.forward(zeros({1, 2, 4, 8}), {});
        }) == "DenoisingAutoencoder: 1 images need a time each");
}

}  // namespace haze

#include "haze/nn/unet.h"

#include <filesystem>

#include <doctest/doctest.h>

#include "haze/nn/named_tensors.h"
#include "haze/nn/safetensors.h"

#include "nn/image_networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;

// That of make_golden_unet.py.
const UNetConfig kGolden = {.image = {2, 8, 4},
                            .outputs = 2,
                            .width = 8,
                            .multipliers = {1, 2},
                            .blocks = 1,
                            .attention = {4},
                            .heads = 2,
                            .groups = 4};

const UNetConfig kSmall = {
    .image = {1, 8, 8}, .width = 8, .multipliers = {1, 2}, .blocks = 1, .attention = {8}, .dropout = 0.2};

const Tensor kTimes = Tensor::from({0.1f, 0.5f, 0.5f}, {3});

// Takes the skip connection from a stage of the way up that reads `own` channels from below: the weights of
// the channels after those become zero.
void cut_skip(Module& network, const std::string& stage, int64_t own) {
  for (const char* name : {".block.conv1.weight", ".block.shortcut.weight"}) {
    const Tensor weight = parameter_of(network, stage + name).value();
    const Tensor of_skip = slice(weight, 1, own, weight.size(1));
    copy_into(of_skip, zeros(of_skip.shape()));
  }
}

}  // namespace

TEST_CASE("a U-Net gives what a PyTorch program of the same weights gives") {
  const SafetensorsContents golden =
      read_safetensors(std::filesystem::path(HAZE_TEST_DATA) / "tiny_unet.safetensors");
  Generator generator(1);
  UNet network(kGolden, generator);
  NamedTensors weights = golden.tensors;
  std::erase_if(weights, [](const auto& tensor) { return tensor.name.starts_with("golden."); });
  copy_by_name(parameter_tensors(network), weights, true, "tiny_unet");
  const Variable y = network.forward(golden.at("golden.x"), golden.at("golden.t"));
  CHECK(y.shape() == Shape{2, 4, 8, 4});
  CHECK(largest_difference(values(y), values(golden.at("golden.output"))) < 1e-5);
}

TEST_CASE("gradients of a U-Net agree with central differences, also by x") {
  Generator generator(2);
  UNet network({.image = {1, 4, 2},
                .width = 2,
                .multipliers = {1, 1},
                .blocks = 1,
                .attention = {2},
                .heads = 2,
                .groups = 1},
               generator);
  network.to(Dtype::float64);
  randomise(network, 3, 0.4);
  const Tensor t = Tensor::from({0.2f, 0.9f}, {2});
  check_gradients(
      "UNet", network, {random_images({2, 1, 4, 2}, Dtype::float64)},
      [&](const Inputs& given) { return network.forward(given[0], t); }, "time_embedding.first");
}

TEST_CASE("a U-Net's result has the shape of its images, with so many times the channels as outputs") {
  Generator generator(3);
  for (const auto& [image, multipliers, outputs] :
       {std::tuple<Shape, std::vector<int64_t>, int64_t>{{1, 16, 16}, {1, 2, 2}, 1},
        {{3, 8, 4}, {1, 2, 2}, 2},
        {{3, 5, 7}, {2}, 2}}) {
    const UNet network(
        {.image = image, .outputs = outputs, .width = 8, .multipliers = multipliers, .blocks = 1}, generator);
    const Tensor x = random_images({2, image[0], image[1], image[2]});
    CHECK(network.forward(x, zeros({2})).shape() == Shape{2, outputs * image[0], image[1], image[2]});
  }
}

TEST_CASE("a U-Net starts as zero, and once it has left zero every parameter gets a gradient") {
  Generator generator(4);
  UNet network(kSmall, generator);
  const Tensor x = random_images({3, 1, 8, 8});
  for (const double y : values(network.forward(x, kTimes))) CHECK(y == 0);
  randomise(network);
  CHECK(without_gradient(network, network.forward(x, kTimes)) == "");
}

TEST_CASE("each skip connection of a U-Net matters: without it the result is another") {
  // Stages of the way up, and the channels that they read from below.
  struct Stage {
    std::string name;
    int64_t own;
  };
  const Tensor x = random_images({3, 1, 8, 8});
  for (const Stage& stage : {Stage{"up.1.0", 16}, {"up.1.1", 16}, {"up.0.0", 16}, {"up.0.1", 8}}) {
    Generator generator(5);
    UNet network(kSmall, generator);
    randomise(network, 7, 0.2);
    const std::vector<double> before = values(network.forward(x, kTimes));
    cut_skip(network, stage.name, stage.own);
    CAPTURE(stage.name);
    CHECK(largest_difference(values(network.forward(x, kTimes)), before) > 1e-3);
  }
}

TEST_CASE(
    "the time matters to a U-Net, and an image's result depends on its own image and time, bit for bit") {
  Generator generator(6);
  UNet network(kSmall, generator);
  randomise(network, 7, 0.2);
  const Tensor x = random_images({3, 1, 8, 8});
  const Variable early = network.forward(x, full({3}, 0.1, Dtype::float32));
  const Variable late = network.forward(x, full({3}, 0.9, Dtype::float32));
  CHECK(largest_difference(values(early), values(late)) > 1e-2);
  CHECK(rows_are_independent(network, x, kTimes));
}

TEST_CASE("a U-Net's dropout is drawn in training alone") {
  Generator generator(7);
  UNet network(kSmall, generator);
  randomise(network, 7, 0.2);
  const Tensor x = random_images({3, 1, 8, 8});
  Generator first(1), second(1), third(2);
  const auto trained = [&](Generator& draws) {
    return values(network.forward(x, kTimes, {.training = true, .generator = &draws}));
  };
  const std::vector<double> one = trained(first);
  CHECK(one == trained(second));
  CHECK(one != trained(third));
  CHECK(one != values(network.forward(x, kTimes)));
  CHECK_THROWS_AS(network.forward(x, kTimes, {.training = true}), Error);
}

TEST_CASE("a U-Net says what is wrong") {
  Generator generator(8);
  const auto error_with = [&](auto change) {
    UNetConfig config = kSmall;
    change(config);
    return error_of([&] { UNet(config, generator); });
  };
  CHECK(error_with([](UNetConfig& c) {
          c.image = {1, 10, 7};
        }) ==
        "UNet: with 2 levels, the height and width of an image are multiples of 2, and they are 10 x 7");
  CHECK(error_with([](UNetConfig& c) {
          c.attention = {8, 2};
        }) == "UNet: attention at height 2, and the levels have heights 8, 4");
  CHECK(error_with([](UNetConfig& c) { c.blocks = 0; }) ==
        "UNet: 0 blocks a level and 1 outputs is no network");
  CHECK(error_with([](UNetConfig& c) { c.outputs = 0; }) ==
        "UNet: 1 blocks a level and 0 outputs is no network");
  CHECK(error_with([](UNetConfig& c) { c.groups = 3; }) == "GroupNorm: 8 channels do not fall into 3 groups");
  CHECK(error_with([](UNetConfig& c) { c.heads = 3; }) ==
        "ImageAttention: 8 channels do not fall into 3 heads");
  const UNet network(kSmall, generator);
  CHECK(error_of([&] {
          network.forward(zeros({3, 1, 8, 4}), kTimes);
        }) == "UNet: x has shape [3, 1, 8, 4], it takes images of [1, 8, 8]");
  CHECK(error_of([&] { network.forward(zeros({2, 1, 8, 8}), kTimes); }) == "UNet: 2 images need a time each");
  CHECK(error_of([&] {
          network.forward(zeros({3, 1, 8, 8}), cast(kTimes, Dtype::float64));
        }) == "UNet: times are float32, not float64");
}

}  // namespace haze

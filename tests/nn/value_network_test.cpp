#include "haze/nn/value_network.h"

#include <doctest/doctest.h>

#include "haze/nn/mlp_network.h"
#include "haze/nn/named_tensors.h"

#include "nn/image_networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;

Settings settings_with(const std::vector<std::string>& assignments) {
  Settings settings(value_network_settings());
  for (const std::string& assignment : assignments) settings.override_with(assignment);
  return settings;
}

const std::vector<std::string> kSmallUNet = {"unet.width=8", "unet.multipliers=1,2", "unet.blocks=1"};

std::vector<std::string> with(std::vector<std::string> assignments, const std::string& more) {
  assignments.push_back(more);
  return assignments;
}

std::string construction_error(const std::vector<std::string>& assignments, const Shape& example,
                               int64_t outputs = 1) {
  Generator generator(1);
  return error_of([&] { ValueNetwork(settings_with(assignments), example, outputs, generator); });
}

}  // namespace

TEST_CASE("a network of values is an MLP of vectors and a U-Net of images, unless its settings say which") {
  Generator generator(1);
  CHECK(ValueNetwork(settings_with({}), {2}, 1, generator).kind() == "mlp");
  CHECK(ValueNetwork(settings_with(kSmallUNet), {1, 4, 4}, 1, generator).kind() == "unet");
  CHECK(ValueNetwork(settings_with({"network.kind=mlp"}), {1, 4, 4}, 1, generator).kind() == "mlp");
  CHECK(ValueNetwork(settings_with({"network.kind=mlp"}), {4, 4}, 1, generator).kind() == "mlp");
  const Settings autoencoder = settings_with({"network.kind=autoencoder", "autoencoder.width=8"});
  CHECK(ValueNetwork(autoencoder, {1, 4, 4}, 1, generator).kind() == "autoencoder");
}

TEST_CASE("an MLP's parameters have the names that it has alone, so saved runs of points load") {
  Generator generator(2), same(2);
  ValueNetwork network(settings_with({"mlp.hidden=8", "mlp.layers=2"}), {2}, 1, generator);
  MlpNetwork mlp({.width = 2, .hidden = 8, .layers = 2}, same);
  std::vector<std::string> names;
  for (const NamedParameter& parameter : network.parameters()) names.push_back(parameter.name);
  CHECK(names == std::vector<std::string>{
                     "input.weight", "input.bias", "time_embedding.first.weight", "time_embedding.first.bias",
                     "time_embedding.second.weight", "time_embedding.second.bias", "layers.0.weight",
                     "layers.0.bias", "layers.1.weight", "layers.1.bias", "output.weight", "output.bias"});
  const Tensor x = random_images({3, 2}), t = Tensor::from({0.1f, 0.5f, 0.9f}, {3});
  CHECK(values(network.forward(x, t)) == values(mlp.forward(x, t)));
}

TEST_CASE(
    "a result has the shape of the examples, and with two outputs twice the numbers of the first axis") {
  Generator generator(3);
  const Tensor t = full({3}, 0.5, Dtype::float32);  // the same time for all
  const std::vector<std::pair<std::vector<std::string>, Shape>> cases = {
      {{}, {2}},
      {{"network.kind=mlp"}, {2, 4, 2}},
      {kSmallUNet, {2, 4, 2}},
      {{"network.kind=autoencoder", "autoencoder.width=8", "autoencoder.multipliers=1,1"}, {2, 4, 2}}};
  for (const auto& [assignments, example] : cases) {
    for (const int64_t outputs : {1, 2}) {
      ValueNetwork network(settings_with(assignments), example, outputs, generator);
      randomise(network, 7, 0.2);
      Shape batch{3}, expected{3};
      for (int64_t extent : example) batch.append(extent), expected.append(extent);
      expected[1] *= outputs;
      const Variable x = Variable::leaf(random_images(batch));
      const Variable y = network.forward(x, t);
      CHECK(y.shape() == expected);
      backward(sum(square(y)));
      CHECK(x.gradient().shape() == batch);
      CHECK(rows_are_independent(network, x.value(), t));
    }
  }
}

TEST_CASE("an MLP of images reads and writes an image as the vector of its numbers") {
  Generator generator(4), same(4);
  const ValueNetwork network(settings_with({"network.kind=mlp", "mlp.hidden=8"}), {2, 3, 1}, 2, generator);
  const MlpNetwork mlp({.width = 6, .hidden = 8, .outputs = 2}, same);
  const Tensor x = random_images({3, 2, 3, 1}), t = Tensor::from({0.1f, 0.5f, 0.9f}, {3});
  CHECK(values(network.forward(x, t)) == values(mlp.forward(reshape(x, {3, 6}), t)));
}

TEST_CASE("the settings of a network of values are those of the network that is made") {
  Generator generator(5);
  ValueNetwork network(settings_with({"unet.width=16", "unet.multipliers=1,3", "unet.blocks=1",
                                      "unet.attention=8,4", "unet.heads=2", "unet.groups=4"}),
                       {1, 8, 8}, 1, generator);
  CHECK(parameter_of(network, "down.1.0.block.conv1.weight").shape() == Shape{48, 16, 3, 3});
  CHECK(parameter_of(network, "down.0.0.attention.qkv.weight").shape() == Shape{48, 16});
  CHECK(parameter_of(network, "down.1.0.attention.qkv.weight").shape() == Shape{144, 48});
  CHECK_THROWS_AS(parameter_of(network, "down.0.1.block.conv1.weight"), Error);
  ValueNetwork dropping(settings_with(with(kSmallUNet, "unet.dropout=0.5")), {1, 4, 4}, 1, generator);
  CHECK_THROWS_AS(dropping.forward(zeros({1, 1, 4, 4}), zeros({1}), {.training = true}), Error);
  ValueNetwork narrow(settings_with({"network.kind=autoencoder", "autoencoder.width=6",
                                     "autoencoder.multipliers=1,2", "autoencoder.groups=3"}),
                      {1, 4, 4}, 1, generator);
  CHECK(parameter_of(narrow, "encoder.1.0.conv.weight").shape() == Shape{12, 6, 3, 3});
}

TEST_CASE("a setting of a network that is not the one is refused") {
  CHECK(construction_error({"unet.width=64"}, {2}) ==
        "unet.width is for network.kind unet, and the network is mlp");
  CHECK(construction_error({"mlp.hidden=64"}, {1, 4, 4}) ==
        "mlp.hidden is for network.kind mlp, and the network is unet");
  CHECK(construction_error({"network.kind=autoencoder", "unet.dropout=0.1"}, {1, 4, 4}) ==
        "unet.dropout is for network.kind unet, and the network is autoencoder");
  const auto checked = [](const std::vector<std::string>& assignments) {
    return error_of([&] { check_value_network_settings(settings_with(assignments)); });
  };
  CHECK(checked({"network.kind=mlp", "unet.width=64"}) ==
        "unet.width is for network.kind unet, and the network is mlp");
  CHECK_NOTHROW(check_value_network_settings(settings_with({"unet.width=64"})));  // auto: may be a U-Net
}

TEST_CASE("lists and widths that are none are refused before there are data") {
  const auto checked = [](const std::string& assignment) {
    return error_of([&] { check_value_network_settings(settings_with({assignment})); });
  };
  for (const char* text : {"1,x", "1,,2", ",1", "1,", "0", "-1", "1 2", "99999999999999999999"}) {
    CHECK(checked(fmt::format("unet.multipliers={}", text)) ==
          fmt::format("unet.multipliers is a list of positive integers such as \"1,2,2\", not \"{}\"", text));
  }
  CHECK(checked("autoencoder.multipliers=") ==
        "autoencoder.multipliers has a number for each level, and it is empty");
  CHECK(checked("unet.attention=16;8") ==
        "unet.attention is a list of positive integers such as \"1,2,2\", not \"16;8\"");
  CHECK(checked("unet.width=30") == "unet.width 30 is not a multiple of unet.groups 8");
  CHECK(checked("autoencoder.width=30") == "autoencoder.width 30 is not a multiple of autoencoder.groups 8");
  CHECK_NOTHROW(check_value_network_settings(settings_with({})));
}

TEST_CASE("a network of values says what is wrong with examples and inputs") {
  CHECK(construction_error({}, {}) == "a network of values: examples of shape [] have no numbers");
  CHECK(construction_error({}, {4, 4}) ==
        "network.kind auto is for vectors and images, and an example has shape [4, 4]");
  CHECK(construction_error({}, {2}, 0) == "a network of values: 0 outputs");
  CHECK(construction_error({"network.kind=unet"}, {2}) ==
        "UNet: an example is an image [channels, height, width], not [2]");
  CHECK(construction_error({}, {1, 28, 30}) ==
        "UNet: with 3 levels, the height and width of an image are multiples of 4, and they are 28 x 30");
  Generator generator(6);
  const ValueNetwork network(settings_with({}), {2}, 1, generator);
  CHECK(error_of([&] {
          network.forward(zeros({3, 3}), zeros({3}));
        }) == "a network of values: x has shape [3, 3], it takes examples of [2]");
  CHECK(error_of([&] {
          network.forward(zeros({3, 2}), zeros({2}));
        }) == "MlpNetwork: 3 vectors need a time each");
}

}  // namespace haze

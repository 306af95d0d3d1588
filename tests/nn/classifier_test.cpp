#include "haze/nn/classifier.h"

#include <doctest/doctest.h>

#include "nn/image_networks.h"

namespace haze {
namespace {

using namespace nn_test;
using testing::error_of;

const ClassifierConfig kOfPoints = {.example = {2}, .classes = 3, .width = 4, .time = true};
const ClassifierConfig kOfImages = {
    .example = {2, 5, 4}, .classes = 3, .width = 4, .groups = 2, .time = true};
const Tensor kTimes = Tensor::from({0.1f, 0.5f, 0.5f}, {3});

Variable time_vector(Classifier& classifier) {
  const Tensor waves = cast(sinusoidal_embedding(scale_shift(kTimes, 1000, 0), 256), Dtype::float64);
  return linear_of(classifier, "time_embedding.second",
                   silu(linear_of(classifier, "time_embedding.first", waves)));
}

}  // namespace

TEST_CASE("a classifier is its formula, with and without time, and its logits are linear in its features") {
  Generator generator(1);
  for (const bool time : {true, false}) {
    for (ClassifierConfig config : {kOfPoints, kOfImages}) {
      config.time = time;
      const bool points = config.example.rank() == 1;
      Classifier classifier(config, generator);
      classifier.to(Dtype::float64);
      randomise(classifier);
      const Variable x = random_images(points ? Shape{3, 2} : Shape{3, 2, 5, 4}, Dtype::float64);
      const Variable e = time ? time_vector(classifier) : Variable();
      Variable h = x;
      for (int i = 0; i < 3; ++i) {
        const std::string number = std::to_string(i);
        if (points) {
          const Variable sum = linear_of(classifier, "layers." + number, h);
          h = silu(time ? sum + e : sum);
        } else {
          h = conv_block_of(classifier, "blocks." + number, h, time ? silu(e) : e, i == 0 ? 1 : 2, 2);
        }
      }
      if (!points) h = mean(h, {2, 3});
      const Tensor t = time ? kTimes : Tensor();
      CHECK(classifier.feature_width() == h.size(1));
      CHECK(largest_difference(values(classifier.features(x, t)), values(h)) < 1e-12);
      CHECK(largest_difference(values(classifier.forward(x, t)), values(linear_of(classifier, "output", h))) <
            1e-12);
    }
  }
}

TEST_CASE("gradients of classifiers agree with central differences, also by x: guidance needs those") {
  Generator generator(2);
  for (const ClassifierConfig& config : {kOfPoints, kOfImages}) {
    Classifier classifier(config, generator);
    classifier.to(Dtype::float64);
    randomise(classifier);
    const Tensor x =
        random_images(config.example.rank() == 1 ? Shape{3, 2} : Shape{3, 2, 5, 4}, Dtype::float64);
    check_gradients(
        "Classifier", classifier, {x},
        [&](const Inputs& given) { return classifier.forward(given[0], kTimes); }, "time_embedding.first");
  }
}

TEST_CASE("a classifier's examples do not mix, and it takes images of any size") {
  Generator generator(3);
  for (const Shape& image : {Shape{1, 28, 28}, Shape{3, 7, 9}, Shape{1, 1, 1}}) {
    Classifier classifier({.example = image, .classes = 10, .width = 8, .time = true}, generator);
    randomise(classifier, 7, 0.2);
    const Tensor x = random_images({3, image[0], image[1], image[2]});
    CHECK(classifier.forward(x, kTimes).shape() == Shape{3, 10});
    CHECK(rows_are_independent(classifier, x, kTimes));
  }
}

TEST_CASE("a classifier says what is wrong") {
  Generator generator(4);
  CHECK(error_of([&] {
          Classifier({.example = {2, 3}}, generator);
        }) == "Classifier: an example is a vector [width] or an image [channels, height, width], not [2, 3]");
  CHECK(error_of([&] { Classifier({.classes = 0}, generator); }) ==
        "Classifier: 0 classes and a width of 64 is no network");
  CHECK(error_of([&] {
          Classifier({.example = {1, 4, 4}, .width = 12}, generator);
        }) == "GroupNorm: 12 channels do not fall into 8 groups");
  const Classifier timed(kOfPoints, generator), plain({.example = {2}}, generator);
  CHECK(error_of([&] {
          timed.forward(zeros({3, 3}), kTimes);
        }) == "Classifier: x has shape [3, 3], it takes examples of [2]");
  CHECK(error_of([&] { timed.forward(zeros({3, 2})); }) == "Classifier: 3 examples need a time each");
  CHECK(error_of([&] {
          plain.forward(zeros({3, 2}), kTimes);
        }) == "Classifier: it reads no time, and is given one");
}

}  // namespace haze

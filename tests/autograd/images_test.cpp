#include "gradients.h"

using namespace haze;
using namespace haze::testing;

// Linear functions are squared so that second derivatives differ from 0.

TEST_CASE("convolution with every stride and padding agrees with central differences") {
  for (const int64_t stride : {1, 2}) {
    for (const int64_t padding : {0, 1}) {
      const auto f = [=](const Inputs& in) { return conv2d(in[0], in[1], in[2], stride, padding); };
      check_first_and_second("conv2d", f, {random({2, 2, 5, 4}), random({3, 2, 3, 2}, 2), random({3}, 3)});
      const auto no_bias = [=](const Inputs& in) { return conv2d(in[0], in[1], {}, stride, padding); };
      check_first("conv2d", no_bias, {transpose(random({1, 2, 4, 4})), transpose(random({2, 2, 2, 3}, 2))});
    }
  }
}

TEST_CASE("convolution computes only the gradients that are needed") {
  const Tensor x = random({1, 2, 4, 4}), weight = random({3, 2, 3, 3}, 2);
  check_first_and_second("conv2d of x",
                         [&](const Inputs& in) { return square(conv2d(in[0], weight, {}, 1, 1)); }, {x});
  check_first_and_second("conv2d of weight",
                         [&](const Inputs& in) { return square(conv2d(x, in[0], {}, 1, 1)); }, {weight});
}

TEST_CASE("unfold and fold agree with central differences") {
  for (const int64_t stride : {1, 2}) {
    for (const int64_t padding : {0, 1}) {
      const auto columns = [=](const Inputs& in) { return square(unfold(in[0], 3, 2, stride, padding)); };
      check_first_and_second("unfold", columns, {random({2, 2, 5, 4})});
      const Shape shape = unfold(random({2, 2, 5, 4}), 3, 2, stride, padding).shape();
      const auto image = [=](const Inputs& in) { return square(fold(in[0], 5, 4, 3, 2, stride, padding)); };
      check_first_and_second("fold", image, {random(shape)});
    }
  }
}

TEST_CASE("pools and up-sampling agree with central differences") {
  for (const Tensor& x : {random({2, 2, 4, 6}), transpose(random({2, 2, 6, 4}))}) {
    const auto mean_of = [](const Inputs& in) { return square(average_pool(in[0], 2)); };
    const auto max_of = [](const Inputs& in) { return square(max_pool(in[0], 2)); };
    const auto larger = [](const Inputs& in) { return square(upsample(in[0], 3)); };
    check_first_and_second("average_pool", mean_of, {x});
    check_first_and_second("max_pool", max_of, {x});
    check_first_and_second("upsample", larger, {x});
  }
}

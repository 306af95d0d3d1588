#include "gradients.h"

using namespace haze;
using namespace haze::testing;

// Functions are squared so that second derivatives differ from 0.

TEST_CASE("an embedding sums the gradients of ids that repeat") {
  const Tensor ids = int32s({1, 3, 1, 0, 1, 3}, {2, 3});
  check_first_and_second("embedding", [=](const Inputs& in) { return square(embedding(in[0], ids)); },
                         {random({5, 3})});
  check_first("embedding", [=](const Inputs& in) { return embedding(in[0], ids); },
              {transpose(random({3, 5}))});

  const Variable weight = Variable::leaf(ones({5, 2}));
  backward(sum(embedding(weight, ids)));
  CHECK(weight.gradient().to_vector<float>() == std::vector<float>{1, 1, 3, 3, 0, 0, 2, 2, 0, 0});
}

TEST_CASE("index_select and index_scatter agree with central differences, with repeated indices") {
  const Tensor indices = int32s({2, 0, 2}, {3});
  for (const int axis : {0, 1, -1}) {
    const auto select = [=](const Inputs& in) { return square(index_select(in[0], axis, indices)); };
    check_first_and_second("index_select", select, {random({3, 4, 3})});
    check_first("index_select", select, {transpose(random({3, 3, 4}))});
    Shape source{2, 4, 3};
    source[axis < 0 ? 2 : axis] = 3;
    Shape target = source;
    target[axis < 0 ? 2 : axis] = 5;
    const auto scatter = [=](const Inputs& in) {
      return square(index_scatter(in[0], axis, indices, target));
    };
    check_first_and_second("index_scatter", scatter, {random(source)});
  }
}

TEST_CASE("gather and scatter_add agree with central differences, with repeated indices") {
  const Tensor columns = int32s({0, 2, 2, 3, 1, 1}, {2, 3}), rows = int32s({1, 1, 0, 1}, {1, 4});
  for (const auto& [axis, index] : {std::pair{1, columns}, std::pair{-1, columns}, std::pair{0, rows}}) {
    const auto read = [axis = axis, index = index](const Inputs& in) {
      return square(gather(in[0], axis, index));
    };
    check_first_and_second("gather", read, {random({2, 4})});
    check_first("gather", read, {transpose(random({4, 2}))});
    const auto add_at = [axis = axis, index = index](const Inputs& in) {
      return square(scatter_add(in[0], axis, index, in[1]));
    };
    check_first_and_second("scatter_add", add_at, {random({2, 4}), random(index.shape(), 2)});
  }
}

TEST_CASE("scatter agrees with central differences, and what a later element overwrites has no gradient") {
  const Tensor columns = int32s({0, 2, 2, 3, 1, 1}, {2, 3}), rows = int32s({1, 1, 0, 1}, {1, 4});
  for (const auto& [axis, index] : {std::pair{1, columns}, std::pair{-1, columns}, std::pair{0, rows}}) {
    const auto write = [axis = axis, index = index](const Inputs& in) {
      return square(scatter(in[0], axis, index, in[1]));
    };
    check_first_and_second("scatter", write, {random({2, 4}), random(index.shape(), 2)});
  }
  const Variable x = Variable::leaf(float64s({1, 2, 3})), source = Variable::leaf(float64s({4, 5}));
  backward(sum(scatter(x, 0, int32s({1, 1}, {2}), source)));
  CHECK(x.gradient().to_vector<double>() == std::vector<double>{1, 0, 1});
  CHECK(source.gradient().to_vector<double>() == std::vector<double>{0, 1});
}

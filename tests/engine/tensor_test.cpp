#include "haze/engine/tensor.h"

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

using namespace haze;

TEST_CASE("tensor: at() finds the element that an index means in a view of any strides") {
  std::vector<float> numbers(24);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
  const Tensor x = Tensor::from(numbers, {2, 3, 4});
  const Tensor view = slice(transpose(x, 0, 2), 0, 1, 4, 2);  // [2, 3, 2]: view[i, j, k] = x[k, j, 1 + 2 i]
  const Tensor repeated = expand(slice(x, 1, 2, 3), {2, 5, 4});
  for (int64_t i = 0; i < 2; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      for (int64_t k = 0; k < 2; ++k)
        CHECK(view.at({i, j, k}) == static_cast<double>(12 * k + 4 * j + 1 + 2 * i));
    }
    for (int64_t j = 0; j < 5; ++j) CHECK(repeated.at({i, j, 3}) == static_cast<double>(12 * i + 8 + 3));
  }
  CHECK(full({}, 2.5).at({}) == 2.5);
  CHECK_THROWS_WITH_AS(x.at({1, 2}), "at: 2 indices for shape [2, 3, 4]", Error);
  CHECK_THROWS_WITH_AS(x.at({1, 3, 0}), "at: index 3 is outside axis 1 of shape [2, 3, 4]", Error);
  CHECK_THROWS_WITH_AS(x.at({-1, 0, 0}), "at: index -1 is outside axis 0 of shape [2, 3, 4]", Error);
  CHECK_THROWS_WITH_AS(Tensor().at({}), "tensor: an undefined tensor has no elements", Error);
}

TEST_CASE("tensor: item() reads one element of any dtype, wherever it lies") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32, Dtype::uint8}) {
    CHECK(full({1, 1}, 3, dtype).item() == 3);
    CHECK(slice(arange(7, dtype), 0, 5, 6).item() == 5);
  }
  CHECK_THROWS_WITH_AS(zeros({2}).item(), "item: the tensor has shape [2], not one element", Error);
  CHECK_THROWS_WITH_AS(zeros({0}).item(), "item: the tensor has shape [0], not one element", Error);
  CHECK_THROWS_AS(Tensor().item(), Error);
}

TEST_CASE("tensor: data() refuses another type than the tensor's") {
  const Tensor x = zeros({2});
  CHECK(x.data<float>() == x.storage().data());
  CHECK_THROWS_WITH_AS(x.data<double>(), "tensor of float32 read as float64", Error);
  CHECK_THROWS_WITH_AS(x.data<int32_t>(), "tensor of float32 read as int32", Error);
  CHECK_THROWS_WITH_AS(zeros({2}, Dtype::bfloat16).data<float>(), "tensor of bfloat16 read as float32",
                       Error);
}

TEST_CASE("tensor: shapes that cannot be are refused before memory is asked for") {
  constexpr int64_t kLarge = int64_t{1} << 40;
  const uint64_t calls = memory_statistics().system_calls;
  CHECK_THROWS_WITH_AS(Tensor({kLarge, kLarge}), "tensor: shape [1099511627776, 1099511627776] is too large",
                       Error);
  // 2^62 elements can be counted, their bytes cannot; nor could they where another axis is empty.
  CHECK_THROWS_AS(Tensor({int64_t{1} << 62}), Error);
  CHECK_THROWS_AS(Tensor({0, kLarge, kLarge}), Error);
  CHECK_THROWS_WITH_AS(Tensor({2, -1}), "tensor: shape [2, -1] has a negative extent", Error);
  CHECK_THROWS_WITH_AS(Shape({1, 1, 1, 1, 1, 1, 1}), "a tensor has at most 6 axes, got 7", Error);
  Shape full_rank{1, 1, 1, 1, 1, 1};
  CHECK_THROWS_WITH_AS(full_rank.append(1), "a tensor has at most 6 axes", Error);
  CHECK(memory_statistics().system_calls == calls);
}

TEST_CASE("tensor: from() wants as many values as the shape has elements, size() an axis that is there") {
  CHECK_THROWS_WITH_AS(Tensor::from<float>({1, 2, 3}, {2, 2}),
                       "Tensor::from: 3 values do not fill shape [2, 2]", Error);
  const Tensor x = zeros({2, 3});
  CHECK(x.size(-1) == 3);
  CHECK(x.size(-2) == 2);
  CHECK_THROWS_WITH_AS(x.size(2), "tensor: shape [2, 3] has no axis 2", Error);
  CHECK_THROWS_WITH_AS(x.stride(-3), "tensor: shape [2, 3] has no axis -3", Error);
}

#include "haze/engine/tensor.h"

#include <cmath>
#include <limits>
#include <vector>

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

TEST_CASE("tensor: float64 becomes bfloat16 in one rounding, wherever that happens") {
  // Just above the middle between 1 and 1 + 2^-7; its nearest float32 is the middle itself.
  constexpr double kAbove = 1 + 0x1p-8 + 0x1p-30, kUp = 1 + 0x1p-7;
  CHECK(cast(full({1}, kAbove, Dtype::float64), Dtype::bfloat16).item() == kUp);
  CHECK(cast(full({1}, -kAbove, Dtype::float64), Dtype::bfloat16).item() == -kUp);
  CHECK(full({1}, kAbove, Dtype::bfloat16).item() == kUp);
  CHECK(full({1}, 1 + 0x1p-8 - 0x1p-30, Dtype::bfloat16).item() == 1);
  CHECK(full({1}, 1 + 0x1p-8, Dtype::bfloat16).item() == 1);  // the middle: to even
  const Tensor x = zeros({1}, Dtype::bfloat16);
  copy_into(x, full({1}, kAbove, Dtype::float64));
  CHECK(x.item() == kUp);
  // 2^24 + 2^16 + 1 is no float32.
  CHECK(cast(full({1}, (1 << 24) + (1 << 16) + 1, Dtype::int32), Dtype::bfloat16).item() ==
        (1 << 24) + (1 << 17));
  // The largest is (2 - 2^-7) 2^127; from half a unit above it numbers round to infinity.
  constexpr double kLimit = (2 - 0x1p-8) * 0x1p127;
  CHECK(full({1}, kLimit * (1 - 0x1p-40), Dtype::bfloat16).item() == (2 - 0x1p-7) * 0x1p127);
  CHECK(full({1}, kLimit, Dtype::bfloat16).item() == std::numeric_limits<double>::infinity());
  CHECK(full({1}, 1e300, Dtype::bfloat16).item() == std::numeric_limits<double>::infinity());
  // Half of the smallest subnormal number, and a little more.
  CHECK(full({1}, 0x1p-134, Dtype::bfloat16).item() == 0);
  CHECK(full({1}, 0x1p-134 * (1 + 0x1p-50), Dtype::bfloat16).item() == 0x1p-133);
}

TEST_CASE("tensor: to_vector() converts as cast does, between all dtypes") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {0,   -0.5, 0.999, -1,    1.5,       255,        256,
                                      300, 3e9,  -3e9,  1e300, kInfinity, -kInfinity, std::nan("")};
  const Tensor all = Tensor::from(values, {static_cast<int64_t>(values.size())});
  const auto same = [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); };
  const auto agree = [&]<typename T>(const Tensor& x, T) {
    const std::vector<T> got = x.to_vector<T>();
    const Tensor expected = cast(x, dtype_of<T>());
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(values[i]);
      CHECK(same(static_cast<double>(got[i]), expected.at({static_cast<int64_t>(i)})));
    }
  };
  for (Dtype from : {Dtype::float32, Dtype::float64, Dtype::bfloat16, Dtype::int32, Dtype::uint8}) {
    const Tensor x = cast(all, from);
    agree(x, float{});
    agree(x, double{});
    agree(x, int32_t{});
    agree(x, uint8_t{});
  }
  CHECK(all.to_vector<int32_t>()[8] == std::numeric_limits<int32_t>::max());
  CHECK(all.to_vector<int32_t>()[13] == 0);
  CHECK(all.to_vector<uint8_t>()[3] == 0);
}

TEST_CASE("tensor: extents, steps and axes near 2^63 neither wrap nor lose elements") {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  const Tensor x = arange(5, Dtype::float32);
  CHECK(slice(x, 0, 1, 5, kMost).to_vector<float>() == std::vector<float>{1});
  CHECK(slice(x, 0, 5, 5, kMost).elements() == 0);
  CHECK(slice(x, 0, 0, 5, 4).to_vector<float>() == std::vector<float>{0, 4});
  CHECK_THROWS_WITH_AS(sum(x, {int64_t{1} << 32}), "sum: axis 4294967296 is outside a tensor of shape [5]",
                       Error);
  CHECK_THROWS_AS(sum(x, {-(int64_t{1} << 32)}), Error);
  // 3 (2^64 + 2) / 3 wraps to 2; 2^32 2^32 wraps to 0.
  const Tensor two = zeros({2}), none = zeros({0});
  CHECK_THROWS_WITH_AS(reshape(two, {3, 6148914691236517206}),
                       "reshape: shape [3, 6148914691236517206] does not hold the 2 elements of shape [2]",
                       Error);
  CHECK_THROWS_AS(reshape(none, {int64_t{1} << 32, int64_t{1} << 32}), Error);
  CHECK_THROWS_AS(reshape(none, {0, int64_t{1} << 62, 4}), Error);
  CHECK_THROWS_AS(reshape(two, {int64_t{1} << 32, int64_t{1} << 32, -1}), Error);
  CHECK_THROWS_AS(reshape(two, {-1, -1}), Error);
  CHECK(reshape(none, {3, 0}).elements() == 0);
}

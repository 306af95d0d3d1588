#include <doctest/doctest.h>

#include "haze/engine/checks.h"
#include "haze/engine/ops.h"

using namespace haze;

namespace {

using Values = std::vector<float>;

Tensor counting(const Shape& shape) {
  return reshape(arange(shape.elements(), Dtype::float32), shape);
}

Tensor random(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return normal(shape, generator);
}

double largest_difference(const Tensor& x, const Tensor& y) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, subtract(x, y))).item();
}

}  // namespace

TEST_CASE("overlap is seen between views of one storage, and not between neighbours") {
  const Tensor x = counting({4, 4});
  CHECK(overlap(x, transpose(x)));
  CHECK(overlap(slice(x, 0, 0, 3), slice(x, 0, 2, 4)));
  CHECK_FALSE(overlap(slice(x, 0, 0, 2), slice(x, 0, 2, 4)));
  CHECK_FALSE(overlap(x, counting({4, 4})));
  CHECK_FALSE(overlap(slice(x, 0, 1, 1), x));
  CHECK_FALSE(overlap(Tensor(), x));
  CHECK(disjoint(x, x).address() != x.address());
  CHECK(same_or_disjoint(x, x).address() == x.address());
  CHECK(same_or_disjoint(transpose(x), x).address() != x.address());
}

TEST_CASE("add_into adds what the source was, however it overlaps the target") {
  const Tensor x = counting({2, 2});
  add_into(x, transpose(x));
  CHECK(x.to_vector<float>() == Values{0, 3, 3, 6});
  add_into(x, x);
  CHECK(x.to_vector<float>() == Values{0, 6, 6, 12});
  add_into(x, slice(x, 0, 1, 2));  // the last row to every row
  CHECK(x.to_vector<float>() == Values{6, 18, 12, 24});
  const Tensor line = counting({5});
  add_into(slice(line, 0, 1, 5), slice(line, 0, 0, 4));
  CHECK(line.to_vector<float>() == Values{0, 1, 3, 5, 7});
}

TEST_CASE("copy_into copies what the source was, however it overlaps the target") {
  const Tensor line = counting({6});
  copy_into(slice(line, 0, 1, 6), slice(line, 0, 0, 5));
  CHECK(line.to_vector<float>() == Values{0, 0, 1, 2, 3, 4});
  copy_into(slice(line, 0, 0, 5), slice(line, 0, 1, 6));
  CHECK(line.to_vector<float>() == Values{0, 1, 2, 3, 4, 4});
  const Tensor x = counting({100, 100}), transposed = clone(transpose(x));
  copy_into(x, transpose(x));
  CHECK(largest_difference(x, transposed) == 0);
  copy_into(x, x);
  CHECK(largest_difference(x, transposed) == 0);
}

TEST_CASE("index_add_into adds what the source was, and reads the indices before it writes over them") {
  const Tensor x = counting({4});
  index_add_into(x, 0, Tensor::from<int32_t>({3, 2, 1, 0}, {4}), x);
  CHECK(x.to_vector<float>() == Values{3, 3, 3, 3});
  const Tensor indices = Tensor::from<int32_t>({3, 2, 1, 0}, {4});
  index_add_into(indices, 0, indices, Tensor::from<int32_t>({10, 20, 30, 40}, {4}));
  CHECK(indices.to_vector<int32_t>() == std::vector<int32_t>{43, 32, 21, 10});
}

TEST_CASE("matmul_into multiplies what its operands were, also where one of them is the target") {
  constexpr int64_t kSize = 300;
  const Tensor x = random({kSize, kSize}, 1), b = random({kSize, kSize}, 2);
  for (const bool left : {true, false}) {
    const Tensor target = clone(x);
    matmul_into(target, left ? target : b, left ? b : transpose(target));
    const Tensor expected = add(x, left ? matmul(x, b) : matmul(b, transpose(x)));
    CHECK(largest_difference(target, expected) < 1e-3);
  }
}

TEST_CASE("matmul writes pre_activation and row_sums over its operands only after it has read them") {
  constexpr int64_t kSize = 100;
  const Tensor x = random({kSize, kSize}, 1), b = random({kSize, kSize}, 2), bias = random({kSize}, 3);
  const Tensor a = clone(x), both = clone(bias);
  const Tensor y = matmul(a, b, {.bias = both, .pre_activation = a, .row_sums = both});
  const Tensor expected = matmul(x, b, {.bias = bias});
  CHECK(largest_difference(y, expected) == 0);
  CHECK(largest_difference(a, expected) == 0);
  CHECK(largest_difference(both, sum(x, {1})) < 1e-4);
  const Tensor square = zeros({kSize, kSize});
  CHECK_THROWS_WITH_AS(
      matmul(x, b, {.pre_activation = square, .row_sums = reshape(slice(square, 0, 0, 1), {kSize})}),
      "matmul: pre_activation and row_sums overlap", Error);
}

TEST_CASE("attention_gradient and adamw_step refuse targets that overlap what they read") {
  const Tensor x = random({1, 8, 2, 4}, 1);
  const AttentionResult saved = attention(x, x, x, {});
  CHECK_THROWS_WITH_AS(attention_gradient(x, x, x, x, saved, {}, {.query = x}),
                       "attention_gradient: a target overlaps an operand", Error);
  const char* message = "adamw_step: a parameter or a moment shares memory with another tensor of the step";
  const Tensor p = ones({4}), g = ones({4}), m = zeros({4}), v = zeros({4});
  for (const AdamWSlot& slot : {AdamWSlot{p, p, m, v}, AdamWSlot{p, g, m, m}, AdamWSlot{p, g, g, v}}) {
    CHECK_THROWS_WITH_AS(adamw_step(std::vector{slot}, {}), message, Error);
  }
  const AdamWSlot slot{p, g, m, v};
  CHECK_THROWS_WITH_AS(adamw_step(std::vector{slot, slot}, {}), message, Error);
  CHECK(p.to_vector<float>() == Values{1, 1, 1, 1});
  const AdamWSlot shares_gradient{ones({4}), g, zeros({4}), zeros({4})};
  adamw_step(std::vector{slot, shares_gradient}, {});  // a gradient is only read
  CHECK(largest_difference(p, shares_gradient.parameter) == 0);
}

#include <doctest/doctest.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "thread_bits.h"

// Options of matrix products that the operation table does not reach.
namespace haze {
namespace {

struct Sizes {
  int64_t m, n, k;
};

// Below, at and above a tile, a block of the depth, and what is shared out by columns.
const std::vector<Sizes> kSizes = {{1, 1, 1},      {3, 5, 7},      {12, 32, 2},     {13, 33, 65},
                                   {64, 300, 33},  {130, 40, 77},  {129, 96, 1031}, {600, 70, 256},
                                   {40, 70, 2050}, {100, 300, 33}, {10, 160, 600},  {200, 40, 1024}};

Tensor random(const Shape& shape, uint64_t seed) {
  Generator generator(seed);
  return normal(shape, generator);
}

double largest(const Tensor& x) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, x)).item();
}

/// [rows, columns], lying along its rows or across them.
Tensor operand(int64_t rows, int64_t columns, bool transposed, uint64_t seed) {
  return transposed ? transpose(random({columns, rows}, seed)) : random({rows, columns}, seed);
}

template <typename Check>
void for_each_operands(Check&& check) {
  for (const Sizes& s : kSizes) {
    for (const bool a_across : {false, true}) {
      for (const bool b_across : {false, true}) {
        CAPTURE(s.m);
        CAPTURE(s.n);
        CAPTURE(s.k);
        CAPTURE(a_across);
        CAPTURE(b_across);
        check(operand(s.m, s.k, a_across, 1), operand(s.k, s.n, b_across, 2));
      }
    }
  }
}

Tensor rounded(const Tensor& x) {
  return cast(cast(x, Dtype::bfloat16), Dtype::float64);
}

#if defined(__SSE__)
/// Leaves 1s of int32, which are subnormal as float32, in the blocks that the next tensors are made of.
void leave_subnormal_numbers_in_memory() {
  for (int64_t count = 16; count <= 1 << 17; count += std::max<int64_t>(count / 8, 16)) {
    const Tensor some = full({count}, 1, Dtype::int32), others = full({count}, 1, Dtype::int32);
  }
}

/// Whether f computed with a subnormal number on this thread: the processor's flag, which stays set.
template <typename F>
bool meets_subnormal_numbers(F&& f) {
  constexpr unsigned kFlags = 0x3f, kSubnormalOperand = 0x02;
  _mm_setcsr(_mm_getcsr() & ~kFlags);
  f();
  return _mm_getcsr() & kSubnormalOperand;
}
#endif

}  // namespace

TEST_CASE(
    "products in bfloat16 are those of the rounded operands, with sums in float32, on any number of "
    "threads") {
  for_each_operands([](const Tensor& a, const Tensor& b) {
    const auto product = [&] { return matmul(a, b, {.precision = Precision::bfloat16}); };
    const Tensor exact = matmul(rounded(a), rounded(b));
    const Tensor magnitude =
        matmul(unary(UnaryOp::absolute, rounded(a)), unary(UnaryOp::absolute, rounded(b)));
    const double allowed = 0x1p-24 * (static_cast<double>(a.size(1)) + 2) * largest(magnitude);
    CHECK(largest(subtract(cast(product(), Dtype::float64), exact)) <= allowed);
    CHECK(test::same_bits_on_threads(product));
  });
}

TEST_CASE("rounding to bfloat16 in a product keeps infinities and NaN and rounds ties to even") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::bit_cast<float>(0x7FFFFFFFu);
  // 1 + 2^-8 lies between two bfloat16, as does 1 + 3 2^-8.
  const Tensor a = Tensor::from<float>({infinity, nan, 1 + 0x1p-8f, 1 + 0x3p-8f, -infinity, 3e38f}, {6, 1});
  const Tensor product = matmul(a, ones({1, 1}), {.precision = Precision::bfloat16});
  const std::vector<float> values = product.to_vector<float>();
  CHECK(values[0] == infinity);
  CHECK(std::isnan(values[1]));
  CHECK(values[2] == 1);
  CHECK(values[3] == 1 + 0x1p-6f);
  CHECK(values[4] == -infinity);
  CHECK(values[5] == static_cast<float>(bfloat16(3e38f)));
}

TEST_CASE("row_sums are the sums of a's rows, on any number of threads") {
  const auto check = [](const Tensor& a, const Tensor& b) {
    const auto sums = [&] {
      MatmulOptions options{.row_sums = full({a.size(0)}, 7)};
      matmul(a, b, options);
      return options.row_sums;
    };
    const Tensor wide = cast(a, Dtype::float64);
    const double allowed =
        0x1p-24 * static_cast<double>(a.size(1)) * largest(sum(unary(UnaryOp::absolute, wide), {1}));
    CHECK(largest(subtract(cast(sums(), Dtype::float64), sum(wide, {1}))) <= allowed);
    CHECK(test::same_bits_on_threads(sums));
  };
  for_each_operands(check);
  for (const int64_t rows : {40, 200}) {  // of every second element
    const Tensor spaced = slice(random({rows, 77, 2}, 1), 2, 0, 1);
    check(reshape(spaced, {rows, 77}), random({77, 30}, 2));
  }
  MatmulOptions empty{.row_sums = full({2}, 7)};
  matmul(zeros({2, 0}), zeros({0, 3}), empty);
  CHECK(largest(empty.row_sums) == 0);
  MatmulOptions no_columns{.row_sums = full({2}, 7)};
  matmul(Tensor::from<float>({1, 2, 3, 4}, {2, 2}), zeros({2, 0}), no_columns);
  CHECK(no_columns.row_sums.to_vector<float>() == std::vector<float>{3, 7});
}

TEST_CASE("slope_at multiplies a product by the activation's derivative") {
  for (const Activation activation :
       {Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::relu}) {
    for_each_operands([&](const Tensor& a, const Tensor& b) {
      const Tensor at = random({a.size(0), b.size(1)}, 3), product = matmul(a, b);
      const BinaryOp gradient = activation == Activation::gelu        ? BinaryOp::gelu_gradient
                                : activation == Activation::gelu_tanh ? BinaryOp::gelu_tanh_gradient
                                                                      : BinaryOp::silu_gradient;
      const Tensor zero = zeros({});
      const Tensor expected = activation == Activation::relu
                                  ? where(compare(CompareOp::greater, at, zero), product, zero)
                                  : binary(gradient, at, product);
      const Tensor got = matmul(a, b, {.activation = activation, .slope_at = at});
      CHECK(largest(subtract(got, expected)) <= 1e-6 * largest(product));
    });
  }
}

TEST_CASE("matmul refuses options that do not fit, by name") {
  const Tensor a = ones({2, 3}), b = ones({3, 4});
  CHECK_THROWS_WITH_AS(matmul(a, b, {.slope_at = ones({2, 3})}), doctest::Contains("slope_at"), Error);
  CHECK_THROWS_WITH_AS(matmul(a, b, {.bias = ones({4}), .slope_at = ones({2, 4})}),
                       "matmul: slope_at cannot be combined with bias, pre_activation or residual", Error);
  CHECK_THROWS_WITH_AS(matmul(a, b, {.row_sums = ones({3})}), doctest::Contains("row_sums"), Error);
  CHECK_THROWS_WITH_AS(matmul(a, ones({2, 3, 4}), {.row_sums = ones({2})}), doctest::Contains("row_sums"),
                       Error);
  CHECK_THROWS_WITH_AS(
      matmul(ones({2, 2, 3}), b, {.row_sums = ones({2})}),
      "matmul: row_sums belong to a product of two matrices, a has shape [2, 2, 3], the result [2, 2, 4]",
      Error);
}

TEST_CASE("leading axes that cannot be merged are multiplied without a copy") {
  const Tensor heads = transpose(random({3, 40, 2, 16}, 1), 1, 2), other = random({3, 2, 16, 8}, 2);
  const Tensor expected = matmul(contiguous(heads), other);
  const size_t before = memory_statistics().in_use;
  reset_peak_memory();
  const Tensor got = matmul(heads, other);
  // The result and the packed panels; a copy of `heads` would be 3 * 40 * 2 * 16 numbers more.
  CHECK(memory_statistics().peak - before < 3 * 2 * 40 * 8 * sizeof(float) + 3 * 40 * 2 * 16 * sizeof(float));
  CHECK(test::same_bits(got, expected));
}

#if defined(__SSE__)
TEST_CASE("a product computes with its operands alone, whatever its memory held before") {
  CHECK(meets_subnormal_numbers([] { unary(UnaryOp::square, full({64}, 1e-40)); }));
  const int before = threads();
  set_threads(1);
  for_each_operands([](const Tensor& a, const Tensor& b) {
    leave_subnormal_numbers_in_memory();
    CHECK_FALSE(meets_subnormal_numbers([&] { matmul(a, b); }));
  });
  set_threads(before);
}
#endif

}  // namespace haze

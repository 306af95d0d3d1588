#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/engine/ops.h"

// Options of the matrix product on the emulated GPU that the operation table leaves out.
using namespace haze;

namespace {

Tensor on_gpu(const Tensor& x) {
  return to(x, Device::simt);
}

double largest_difference(const Tensor& x, const Tensor& y) {
  const auto a = x.to_vector<double>(), b = y.to_vector<double>();
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("matmul: on an emulated GPU, row_sums are the sums of a's rows, whichever way a lies") {
  Generator generator(1);
  const Tensor x = normal({37, 50}, generator), columns = normal({50, 3}, generator);
  const Tensor across = contiguous(transpose(x));
  for (const Tensor& a : {on_gpu(x), transpose(on_gpu(across))}) {
    for (int64_t n : {3, 0}) {  // without columns, the rows still have sums
      const Tensor sums({37}, Dtype::float32, Device::simt);
      MatmulOptions options{.row_sums = sums, .precision = Precision::bfloat16};
      matmul(a, on_gpu(slice(columns, 1, 0, n)), options);
      CHECK(largest_difference(sums, reduce(ReduceOp::sum, cast(x, Dtype::float64), {1})) < 1e-5);
    }
  }
}

TEST_CASE("matmul: on an emulated GPU, precision bfloat16 multiplies operands rounded to bfloat16") {
  Generator generator(2);
  const Tensor a = on_gpu(normal({3, 33, 40}, generator)), b = on_gpu(normal({3, 40, 18}, generator));
  const auto rounded = [](const Tensor& x) { return cast(cast(x, Dtype::bfloat16), Dtype::float32); };
  const Tensor narrow = matmul(a, b, {.precision = Precision::bfloat16});
  CHECK(largest_difference(narrow, matmul(rounded(a), rounded(b))) == 0);
  CHECK(largest_difference(narrow, matmul(a, b)) > 1e-4);
}

TEST_CASE("matmul: on an emulated GPU, slope_at multiplies by the activation's derivative there") {
  Generator generator(3);
  const Tensor a = normal({19, 24}, generator), b = normal({24, 21}, generator);
  const Tensor at = normal({19, 21}, generator);
  for (Activation activation :
       {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    const Tensor expected = matmul(a, b, {.activation = activation, .slope_at = at});
    const Tensor got = matmul(on_gpu(a), on_gpu(b), {.activation = activation, .slope_at = on_gpu(at)});
    CHECK(largest_difference(got, expected) < 2e-5);
  }
}

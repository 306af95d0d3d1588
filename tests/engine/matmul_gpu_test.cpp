#include <doctest/doctest.h>

#include "haze/engine/ops.h"

#include "engine/gpu_results.h"

// Options and sizes of the matrix product on the emulated GPU that the operation table leaves out.
using namespace haze;
using namespace haze::test;

namespace {

// As it lies, or with its last two axes the other way round in memory.
Tensor laid_out(const Tensor& x, bool transposed) {
  return transposed ? transpose(contiguous(transpose(x))) : x;
}

}  // namespace

TEST_CASE("matmul: on an emulated GPU, large tiles multiply operands that lie either way, with an epilogue") {
  Generator generator(4);
  constexpr int64_t kM = 120, kN = 128, kK = 40;
  const Tensor bias = normal({kN}, generator), residual = normal({kM, kN}, generator);
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const Tensor a = cast(normal({kM, kK}, generator), dtype), b = cast(normal({kK, kN}, generator), dtype);
    const MatmulOptions options{
        .bias = wide(bias), .activation = Activation::gelu, .residual = wide(residual)};
    const Tensor wanted = matmul(wide(a), wide(b), options);
    const Tensor wanted_before = matmul(wide(a), wide(b), {.bias = wide(bias)});
    for (bool transposed_a : {false, true}) {
      for (bool transposed_b : {false, true}) {
        CAPTURE(transposed_a);
        CAPTURE(transposed_b);
        const Tensor gpu_a = on_gpu(laid_out(a, transposed_a)), gpu_b = on_gpu(laid_out(b, transposed_b));
        const Tensor before({kM, kN}, Dtype::float32, Device::simt);
        const Tensor got = fast_and_checked([&] {
          return matmul(gpu_a, gpu_b,
                        {.bias = on_gpu(bias),
                         .activation = Activation::gelu,
                         .pre_activation = before,
                         .residual = on_gpu(residual)});
        });
        CHECK(largest_difference(got, wanted) < 2e-5);
        CHECK(largest_difference(to(before, Device::cpu), wanted_before) < 2e-5);
      }
    }
  }
}

TEST_CASE("matmul: on an emulated GPU, tiles that lie either way are read whole and without bank conflicts") {
  Generator generator(7);
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    for (int64_t extent : {32, 128}) {  // of small and large tiles
      const Tensor x = cast(normal({extent, 64}, generator), dtype);
      for (bool transposed_a : {false, true}) {
        for (bool transposed_b : {false, true}) {
          CAPTURE(name(dtype));
          CAPTURE(extent);
          CAPTURE(transposed_a);
          CAPTURE(transposed_b);
          const CheckedRungs counting(true);
          matmul(on_gpu(laid_out(x, transposed_a)), on_gpu(laid_out(transpose(x), transposed_b)));
          const simt::LaunchCounts counts = simt::last_counts();
          CHECK(sectors_a_request(counts.total(false, false)) == 16);
          CHECK(sectors_a_request(counts.total(false, true)) == 4);
          CHECK(counts.total(true, false).conflicts == 0);
        }
      }
    }
  }
}

TEST_CASE("matmul: on an emulated GPU, a long K is split, and the sum is the same in any order of blocks") {
  Generator generator(5);
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const Tensor a = cast(normal({3, 800}, generator), dtype), b = cast(normal({800, 21}, generator), dtype);
    const Tensor start = normal({3, 21}, generator);
    const auto product = [&] {
      const Tensor target = clone(on_gpu(start));
      matmul_into(target, on_gpu(a), on_gpu(b));
      return target;
    };
    const Tensor got = fast_and_checked(product, 5);
    CHECK(largest_difference(got, matmul(wide(a), wide(b), {.residual = wide(start)})) < 5e-5);
  }
}

TEST_CASE("matmul: on an emulated GPU, operands may begin and step anywhere, and repeat") {
  Generator generator(6);
  const Tensor x = normal({3, 40, 52}, generator);
  const auto check = [&](const auto& view_a, const auto& view_b) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      const Tensor host = cast(x, dtype), device = on_gpu(host);
      const Tensor got = fast_and_checked([&] { return matmul(view_a(device), view_b(device)); });
      CHECK(largest_difference(got, matmul(wide(view_a(host)), wide(view_b(host)))) < 2e-5);
    }
  };
  const auto shifted = [](const Tensor& t) { return slice(t, 2, 1, 42); };
  const auto every_other = [](const Tensor& t) { return slice(t, 2, 0, 52, 2); };
  const auto one = [](const Tensor& t) { return slice(t, 0, 1, 2); };
  const auto repeated = [](const Tensor& t) { return expand(slice(t, 1, 3, 4), {3, 26, 52}); };
  const auto across = [](const Tensor& t) { return transpose(t); };
  check(shifted, [&](const Tensor& t) { return across(shifted(t)); });
  check(every_other, [&](const Tensor& t) { return across(every_other(t)); });
  check([&](const Tensor& t) { return across(every_other(t)); }, one);
  check(one, across);
  check(every_other, repeated);
}

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
  // Sums of their products are exact, in any order.
  const auto integers = [&](const Shape& shape) {
    return on_gpu(cast(random_integers(shape, generator, -400, 400), Dtype::float32));
  };
  const Tensor a = integers({3, 33, 40}), b = integers({3, 40, 18});
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

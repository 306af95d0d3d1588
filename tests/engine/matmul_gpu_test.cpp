#include <optional>

#include <doctest/doctest.h>

#include "haze/engine/library_choice.h"
#include "haze/engine/ops.h"

#include "engine/gpu_results.h"

// Options and sizes of the matrix product on a GPU, by the kernels of engine/cuda, that the operation table
// leaves out.
using namespace haze;
using namespace haze::test;

namespace {

/// While it lives, no library multiplies.
struct ByHand {
  ByHand() { set_matmul_by(MatmulBy::hand); }
  ~ByHand() { set_matmul_by(std::nullopt); }
};

// Calls check(product(device)) for each GPU. On the emulated one, checked kernels have the same bits.
template <typename F, typename Check>
void check_products(const F& product, const Check& check) {
  const ByHand by_hand;
  for (Device device : gpus()) {
    CAPTURE(name(device));
    check(to(product(device), Device::cpu));
  }
  const Tensor fast = to(product(Device::simt), Device::cpu);
  const CheckedRungs checked;
  CHECK(same_bits(to(product(Device::simt), Device::cpu), fast));
}

// As it lies, or with its last two axes the other way round in memory.
Tensor laid_out(const Tensor& x, bool transposed) {
  return transposed ? transpose(contiguous(transpose(x))) : x;
}

}  // namespace

TEST_CASE("matmul: on a GPU, large tiles multiply operands that lie either way, with an epilogue") {
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
        Tensor before;
        const auto product = [&](Device device) {
          before = Tensor({kM, kN}, Dtype::float32, device);
          return matmul(laid_out(to(a, device), transposed_a), laid_out(to(b, device), transposed_b),
                        {.bias = to(bias, device),
                         .activation = Activation::gelu,
                         .pre_activation = before,
                         .residual = to(residual, device)});
        };
        check_products(product, [&](const Tensor& got) {
          CHECK(largest_difference(got, wanted) < 2e-5);
          CHECK(largest_difference(before, wanted_before) < 2e-5);
        });
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
          const Tensor there = to(x, Device::simt);
          matmul(laid_out(there, transposed_a), laid_out(transpose(there), transposed_b));
          const simt::LaunchCounts counts = simt::last_counts();
          CHECK(sectors_a_request(counts.total(false, false)) == 16);
          CHECK(sectors_a_request(counts.total(false, true)) == 4);
          CHECK(counts.total(true, false).conflicts == 0);
        }
      }
    }
  }
}

TEST_CASE("matmul: on a GPU, a long K is split, and the sum is the same in any order of blocks") {
  Generator generator(5);
  for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
    const Tensor a = cast(normal({3, 800}, generator), dtype), b = cast(normal({800, 21}, generator), dtype);
    const Tensor start = normal({3, 21}, generator);
    const auto product = [&](Device device) {
      const Tensor target = clone(to(start, device));
      matmul_into(target, to(a, device), to(b, device));
      return target;
    };
    const Tensor wanted = matmul(wide(a), wide(b), {.residual = wide(start)});
    check_products(product, [&](const Tensor& got) { CHECK(largest_difference(got, wanted) < 5e-5); });
    const Tensor fast = to(product(Device::simt), Device::cpu);
    const CheckedRungs checked;
    for (uint64_t seed = 2; seed <= 5; ++seed) {
      simt::set_seed(seed);
      CHECK(same_bits(to(product(Device::simt), Device::cpu), fast));
    }
  }
}

TEST_CASE("matmul: on a GPU, operands may begin and step anywhere, and repeat") {
  Generator generator(6);
  const Tensor x = normal({3, 40, 52}, generator);
  const auto check = [&](const auto& view_a, const auto& view_b) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      const Tensor host = cast(x, dtype), wanted = matmul(wide(view_a(host)), wide(view_b(host)));
      const auto product = [&](Device device) {
        const Tensor there = to(host, device);
        return matmul(view_a(there), view_b(there));
      };
      check_products(product, [&](const Tensor& got) { CHECK(largest_difference(got, wanted) < 2e-5); });
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

TEST_CASE("matmul: on a GPU, row_sums are the sums of a's rows, whichever way a lies") {
  Generator generator(1);
  const Tensor x = normal({37, 50}, generator), columns = normal({50, 3}, generator);
  const Tensor across = contiguous(transpose(x)), wanted = reduce(ReduceOp::sum, wide(x), {1});
  const ByHand by_hand;
  for (Device device : gpus()) {
    for (const Tensor& a : {to(x, device), transpose(to(across, device))}) {
      for (int64_t n : {3, 0}) {  // without columns, the rows still have sums
        const Tensor sums({37}, Dtype::float32, device);
        MatmulOptions options{.row_sums = sums, .precision = Precision::bfloat16};
        matmul(a, to(slice(columns, 1, 0, n), device), options);
        CHECK(largest_difference(sums, wanted) < 1e-5);
      }
    }
  }
}

TEST_CASE("matmul: on a GPU, precision bfloat16 multiplies operands rounded to bfloat16") {
  Generator generator(2);
  // Sums of their products are exact, in any order.
  const auto integers = [&](const Shape& shape) {
    return cast(random_integers(shape, generator, -400, 400), Dtype::float32);
  };
  const Tensor host_a = integers({3, 33, 40}), host_b = integers({3, 40, 18});
  const auto rounded = [](const Tensor& x) { return cast(cast(x, Dtype::bfloat16), Dtype::float32); };
  const ByHand by_hand;
  for (Device device : gpus()) {
    const Tensor a = to(host_a, device), b = to(host_b, device);
    const Tensor narrow = matmul(a, b, {.precision = Precision::bfloat16});
    CHECK(largest_difference(narrow, matmul(rounded(a), rounded(b))) == 0);
    CHECK(largest_difference(narrow, matmul(a, b)) > 1e-4);
  }
}

TEST_CASE("matmul: on a GPU, slope_at multiplies by the activation's derivative there") {
  Generator generator(3);
  const Tensor a = normal({19, 24}, generator), b = normal({24, 21}, generator);
  const Tensor at = normal({19, 21}, generator);
  const ByHand by_hand;
  for (Activation activation :
       {Activation::none, Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    const Tensor expected = matmul(a, b, {.activation = activation, .slope_at = at});
    for (Device device : gpus()) {
      const Tensor got =
          matmul(to(a, device), to(b, device), {.activation = activation, .slope_at = to(at, device)});
      CHECK(largest_difference(got, expected) < 2e-5);
    }
  }
}

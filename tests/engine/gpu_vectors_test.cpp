#include <cmath>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/generator.h"
#include "haze/engine/ops.h"

#include "engine/ladder/rungs.h"

using namespace haze;
using namespace haze::test;

// Kernels that take vectors of 16 bytes where operands allow it, against the cpu's bits.
namespace {

Tensor numbers(const Shape& shape, Dtype dtype = Dtype::float32) {
  Generator generator(3);
  return cast(uniform(shape, generator, -9, 9), dtype);
}

Tensor on_simt(const Tensor& x) {
  return to(x, Device::simt);
}

// f(inputs) on each GPU, and checked on the emulated one, has the bits of f(inputs) on the cpu.
template <typename F, typename... X>
void check_bits(F&& f, const X&... inputs) {
  const Tensor wanted = f(inputs...);
  for (Device device : gpus()) {
    CAPTURE(name(device));
    CHECK(same_bits(to(f(to(inputs, device)...), Device::cpu), wanted));
  }
  const CheckedRungs checked;
  CHECK(same_bits(to(f(on_simt(inputs)...), Device::cpu), wanted));
}

double largest(const Tensor& x) {
  return reduce(ReduceOp::max, unary(UnaryOp::absolute, x)).item();
}

double sectors_of_reads(const Tensor& x, const Tensor& y) {
  const CheckedRungs checked(true);
  add(x, y);
  return sectors_a_request(simt::last_counts().total(false, false));
}

}  // namespace

TEST_CASE("element-wise kernels of a GPU have the cpu's bits, in vectors and beside them") {
  const auto product = [](const Tensor& x, const Tensor& y) { return multiply(x, y); };
  const Tensor x = numbers({6, 16}), odd = numbers({6, 15}), long_one = numbers({37});
  check_bits(product, x, numbers({16}));    // rows
  check_bits(product, x, numbers({6, 1}));  // columns
  check_bits(product, x, numbers({}));      // one element
  check_bits(product, odd, numbers({15}));  // rows that are no multiple of a vector
  check_bits(product, long_one, long_one);  // a tail
  check_bits([&](const Tensor& t) { return multiply(slice(t, 0, 1, 37), slice(t, 0, 0, 36)); }, long_one);
  check_bits([&](const Tensor& t) { return multiply(slice(t, 1, 4, 12), slice(t, 1, 0, 8)); }, x);
  check_bits(product, numbers({5, 24}, Dtype::bfloat16), numbers({24}, Dtype::bfloat16));
  check_bits(product, numbers({3, 7}, Dtype::float64), numbers({3, 7}, Dtype::float64));
  for (Dtype dtype : {Dtype::bfloat16, Dtype::float64, Dtype::uint8, Dtype::int32}) {
    check_bits([&](const Tensor& t) { return cast(t, dtype); }, unary(UnaryOp::absolute, long_one));
  }
  check_bits(
      [](const Tensor& a, const Tensor& b) {
        const Tensor less = compare(CompareOp::less, a, b);
        return where(logical_xor(less, full({}, 1, Dtype::uint8, a.device())), a, b);
      },
      x, numbers({16}));
}

TEST_CASE("element-wise kernels of the emulated GPU read 16 sectors a request in vectors, 5 beside them") {
  const Tensor x = on_simt(numbers({257, 128})), bias = on_simt(numbers({128}));
  CHECK(sectors_of_reads(x, x) == 16);
  CHECK(sectors_of_reads(x, bias) == 16);
  const Tensor odd = slice(reshape(x, {257 * 128}), 0, 8, 8 + 32 * 128);
  CHECK(sectors_of_reads(odd, odd) == 16);
  const Tensor beside = slice(reshape(x, {257 * 128}), 0, 1, 1 + 32 * 128);
  CHECK(sectors_of_reads(beside, beside) == 5);
}

TEST_CASE("norms of a GPU are the cpu's, for rows in warps, in blocks and beyond registers") {
  for (const Shape& shape : {Shape{5, 96}, Shape{3, 97}, Shape{2, 1028}, Shape{1, 4400}}) {
    const Tensor x = numbers(shape), g = unary(UnaryOp::sin, x), weight = numbers({shape[1]});
    const NormResult wanted = layer_norm(x, weight, weight, 1e-5);
    const NormGradient gradient = layer_norm_gradient(g, x, weight, wanted, true);
    const auto check_close = [](const Tensor& got, const Tensor& reference) {
      const Tensor difference = subtract(to(got, Device::cpu), reference);
      CHECK(largest(difference) < 1e-5 * (1 + largest(reference)));
    };
    // The gradient of x.
    const auto check_on = [&](Device device) {
      const Tensor there = to(x, device), scale = to(weight, device);
      const NormResult result = layer_norm(there, scale, scale, 1e-5);
      check_close(result.output, wanted.output);
      const NormGradient back = layer_norm_gradient(to(g, device), there, scale, result, true);
      check_close(back.x, gradient.x);
      check_close(back.weight, gradient.weight);
      check_close(back.bias, gradient.bias);
      return to(back.x, Device::cpu);
    };
    for (Device device : gpus()) CHECK(same_bits(check_on(device), check_on(device)));
    const Tensor first = check_on(Device::simt);
    const CheckedRungs checked;
    for (uint64_t seed = 1; seed <= (shape[1] > 4096 ? 2U : 5U); ++seed) {
      simt::set_seed(seed);
      CHECK(same_bits(check_on(Device::simt), first));
    }
  }
}

TEST_CASE("norms of the emulated GPU read a row that registers hold once, 16 sectors a request") {
  const Tensor x = on_simt(numbers({2, 2048}));
  const CheckedRungs checked(true);
  rms_norm(x, Tensor(), 1e-5);
  const simt::LineCount reads = simt::last_counts().total(false, false);
  CHECK(reads.bytes == 2 * 2048 * sizeof(float));
  CHECK(sectors_a_request(reads) == 16);
}

TEST_CASE("adamw on a GPU takes more parameters than a launch, of two dtypes and any alignment") {
  const auto step = [](Device device) {
    std::vector<AdamWSlot> slots;
    for (int64_t i = 0; i < 70; ++i) {
      const Dtype dtype = i == 3 ? Dtype::float64 : Dtype::float32;
      const auto part = [&](double shift) {
        const Tensor x = to(numbers({i == 5 ? 9001 : i + 4}, dtype), device);
        const Tensor y = unary(UnaryOp::scale_shift, x, 1, shift);
        return i == 7 ? slice(y, 0, 1, y.size(0)) : y;
      };
      slots.push_back({part(0), part(1), part(0.5), part(10), i % 2 == 0});
    }
    adamw_step(slots, {.step = 3});
    return slots;
  };
  const std::vector<AdamWSlot> wanted = step(Device::cpu);
  for (Device device : gpus()) {
    const std::vector<AdamWSlot> got = step(device);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const Tensor difference = subtract(to(got[i].parameter, Device::cpu), wanted[i].parameter);
      CHECK(largest(difference) < 1e-6);
    }
  }
}

TEST_CASE("global_norm on a GPU takes more tensors than a launch, of any dtype and alignment") {
  const auto tensors_on = [](Device device) {
    std::vector<Tensor> tensors;
    for (int64_t i = 0; i < 140; ++i) {
      const Dtype dtype = i == 3 ? Dtype::float64 : i == 9 ? Dtype::bfloat16 : Dtype::float32;
      const int64_t count = i == 5 ? 9001 : i + 4;
      tensors.push_back(slice(to(numbers({count}, dtype), device), 0, i % 3, count));
    }
    return tensors;
  };
  double squares = 0;
  for (const Tensor& tensor : tensors_on(Device::cpu)) {
    for (const double x : tensor.to_vector<double>()) squares += x * x;
  }
  const auto wanted = doctest::Approx(std::sqrt(squares)).epsilon(1e-6);
  for (Device device : gpus()) CHECK(global_norm(tensors_on(device)) == wanted);
  const CheckedRungs checked;
  CHECK(global_norm(tensors_on(Device::simt)) == wanted);
}

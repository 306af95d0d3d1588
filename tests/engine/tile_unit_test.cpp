#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/cpu/gemm/bf16_amx.h"
#include "haze/engine/ops.h"

namespace haze {
namespace {

MatrixView<const float> view(const Tensor& x) {
  return {x.data<float>(), x.stride(0), x.stride(1)};
}

/// a b by `kernels`, the depth in blocks and the rows in tiles as the matrix product cuts them.
Tensor product(const GemmKernels<float, float>& kernels, const Tensor& a, const Tensor& b) {
  const int64_t m = a.size(0), n = b.size(1), k = a.size(1), block = kernels.k_block;
  const Tensor result({m, n});
  const auto round_up = [](int64_t x, int64_t to) { return (x + to - 1) / to * to; };
  const auto floats = [&](int64_t width) {
    return static_cast<size_t>(width * round_up(block, kernels.k_step)) * kernels.packed_size / sizeof(float);
  };
  std::vector<float> columns(floats(round_up(n, kernels.tile_columns)) + 16),
      rows(floats(kernels.tile_rows) + 16);
  for (int64_t p = 0; p < k; p += block) {
    const int64_t depth = std::min(block, k - p);
    kernels.pack_columns(view(b).from(p, 0), depth, n, columns.data());
    for (int64_t i = 0; i < m; i += kernels.tile_rows) {
      const int64_t height = std::min(kernels.tile_rows, m - i);
      kernels.pack_rows(view(a).from(i, p), height, depth, rows.data());
      const GemmBlock part{i, height, 0, n, depth, p == 0, p + depth == k};
      kernels.multiply({rows.data()}, {columns.data()}, part, {result.data<float>(), n});
    }
  }
  return result;
}

}  // namespace

TEST_CASE("products by tiles of 32 x 32, in AMX's layout, are those of operands rounded to bfloat16") {
  struct Size {
    int m, n, k;
  };
  for (const Size& size : {Size{1, 1, 1}, {32, 32, 32}, {31, 33, 35}, {70, 40, 2}, {64, 64, 1000}}) {
    const int m = size.m, n = size.n, k = size.k;
    for (const bool a_across : {false, true}) {
      for (const bool b_across : {false, true}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        Generator generator(1);
        const Tensor a = a_across ? transpose(normal({k, m}, generator)) : normal({m, k}, generator);
        const Tensor b = b_across ? transpose(normal({n, k}, generator)) : normal({k, n}, generator);
        const auto wide = [](const Tensor& x) { return cast(cast(x, Dtype::bfloat16), Dtype::float64); };
        const Tensor exact = matmul(wide(a), wide(b));
        const Tensor got = cast(product(amx::emulated_kernels(), a, b), Dtype::float64);
        const auto largest = [](const Tensor& x) {
          return reduce(ReduceOp::max, unary(UnaryOp::absolute, x)).item();
        };
        const Tensor magnitude = matmul(unary(UnaryOp::absolute, wide(a)), unary(UnaryOp::absolute, wide(b)));
        CHECK(largest(subtract(got, exact)) <= 0x1p-24 * (k + 2) * largest(magnitude));
      }
    }
  }
}

TEST_CASE("AMX and its emulation give the same products") {
  if (!amx::supported()) {
    MESSAGE(
        "skipped: this processor has no AMX for bfloat16, or the system does not let this process use it");
    return;
  }
  Generator generator(2);
  std::vector<float> a(32 * 48), b(48 * 32), real(32 * 40, 1), emulated(32 * 40, 1);
  for (std::vector<float>* x : {&a, &b}) {
    for (float& pair : *x) {
      const auto half = [&] {
        return uint32_t{bfloat16(static_cast<float>(generator.uniform()) - 0.5f).bits};
      };
      pair = std::bit_cast<float>(half() | half() << 16);
    }
  }
  amx::Processor::prepare();
  amx::Processor::multiply(a.data(), 0, b.data(), 32, 48, real.data(), 40, false);
  amx::Emulation::multiply(a.data(), 0, b.data(), 32, 48, emulated.data(), 40, false);
  for (size_t i = 0; i < real.size(); ++i) CHECK(real[i] == doctest::Approx(emulated[i]).epsilon(1e-5));
}

}  // namespace haze

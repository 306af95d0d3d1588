#include <bit>
#include <set>

#include <doctest/doctest.h>

#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/engine/ops.h"
#include "haze/engine/simt/checker.h"
#include "haze/engine/simt/tensor_cores.h"

#include "engine/ladder/rungs.h"
#include "engine/thread_bits.h"
#include "error_of.h"

using namespace haze;
using namespace haze::test;

namespace {

constexpr unsigned kTf32 = 5;  // the rung

struct Matrices {
  Tensor a, b;

  Matrices(int64_t m, int64_t n, int64_t k, Dtype dtype, Device device = Device::simt) {
    Generator generator(1);
    a = to(cast(normal({m, k}, generator), dtype), device);
    b = to(cast(normal({k, n}, generator), dtype), device);
  }
  Tensor product(unsigned rung) const {
    const Tensor out({a.size(0), b.size(1)}, Dtype::float32, a.device());
    launch(ladder::Matmul{rung, a, b, out});
    return out;
  }
};

Tensor rounded_to_tf32(const Tensor& x) {
  std::vector<float> values = x.to_vector<float>();
  for (float& value : values) value = std::bit_cast<float>(simt::rounded_to_tfloat32(value));
  return Tensor::from<float>(values, x.shape());
}

// In float64, of what a rung reads.
Tensor reference(const Matrices& of, unsigned rung) {
  Tensor a = to(of.a, Device::cpu), b = to(of.b, Device::cpu);
  if (rung == kTf32) {
    a = rounded_to_tf32(a);
    b = rounded_to_tf32(b);
  }
  return matmul(cast(a, Dtype::float64), cast(b, Dtype::float64));
}

double largest_error(const Tensor& got, const Tensor& wanted) {
  const std::vector<double> x = to(got, Device::cpu).to_vector<double>(), y = wanted.to_vector<double>();
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) largest = std::max(largest, std::abs(x[i] - y[i]));
  return largest;
}

template <typename F>
void each_rung_and_dtype(const F& f) {
  for (unsigned rung = 0; rung < std::size(ladder::Matmul::kRungs); ++rung) {
    for (Dtype dtype : {Dtype::float32, Dtype::bfloat16}) {
      if (!ladder::Matmul::takes(rung, dtype)) continue;
      CAPTURE(ladder::Matmul::kRungs[rung].name);
      CAPTURE(name(dtype));
      f(rung, dtype);
    }
  }
}

}  // namespace

TEST_CASE("ladder: every rung of matmul gives the product, the same bits in every order of its threads") {
  struct Size {
    int64_t m, n, k;
  };
  each_rung_and_dtype([](unsigned rung, Dtype dtype) {
    // Past the edges of every tile. Rows of bfloat16 are multiples of 16 bytes.
    for (const Size& size : {Size{130, 8, 24}, Size{3, 136, 40}, Size{1, 8, 136}, Size{34, 37, 19}}) {
      if (dtype == Dtype::bfloat16 && (rung == 4 ? size.n % 8 != 0 : size.m > 34)) continue;
      const Matrices matrices(size.m, size.n, size.k, dtype);
      const Tensor wanted = reference(matrices, rung);
      for (Device device : gpus()) {
        const Matrices there(size.m, size.n, size.k, dtype, device);
        CHECK(largest_error(there.product(rung), wanted) < 1e-5);
      }
      const Tensor fast = matrices.product(rung);
      const CheckedRungs checked;
      for (uint64_t seed = 1; seed <= (size.m == 130 ? 5 : 1); ++seed) {
        CAPTURE(seed);
        simt::set_seed(seed);
        CHECK(same_bits(to(matrices.product(rung), Device::cpu), to(fast, Device::cpu)));
      }
    }
  });
}

TEST_CASE("ladder: a sum of no products is 0 in every rung of matmul") {
  each_rung_and_dtype([](unsigned rung, Dtype dtype) {
    for (Device device : gpus()) {
      for (float x : Matrices(2, 8, 0, dtype, device).product(rung).to_vector<float>()) CHECK(x == 0);
    }
  });
}

TEST_CASE("ladder: matmul reads and writes whole sectors, and its tiles have no bank conflicts") {
  // Sectors a request. Neighbouring lanes have neighbours of 4 bytes, or, where they read last, of 16.
  struct Expected {
    double reads, writes;
  };
  constexpr Expected kExpected[] = {{2.5, 4}, {4, 4}, {4, 4}, {16, 4}, {16, 4}, {16, 4}};
  each_rung_and_dtype([&](unsigned rung, Dtype dtype) {
    if (rung < 3 && dtype != Dtype::float32) return;
    const Matrices matrices(128, 128, 64, dtype);
    const CheckedRungs counting(true);
    matrices.product(rung);
    const simt::LaunchCounts counts = simt::last_counts();
    CHECK(sectors_a_request(counts.total(false, false)) == kExpected[rung].reads);
    CHECK(sectors_a_request(counts.total(false, true)) == kExpected[rung].writes);
    CHECK(counts.total(true, false).conflicts == 0);
    CHECK(counts.total(true, true).conflicts == 0);
  });
}

TEST_CASE("ladder: each barrier and wait of matmul is needed") {
  size_t mutations = 0;
  each_rung_and_dtype([&](unsigned rung, Dtype dtype) {
    const Matrices matrices(8, 8, 128, dtype);
    const CheckedRungs checked;
    mutations += check_mutations([&] { matrices.product(rung); });
  });
  CHECK(mutations == 2 * 2 + 2 * 2 + 3 * 4);
}

TEST_CASE("ladder: a rung of matmul refuses the dtype that it has no kernel for, and rows it cannot read") {
  const auto refusal = [](unsigned rung, const Matrices& matrices) {
    return testing::error_of([&] { matrices.product(rung); });
  };
  CHECK(refusal(3, {8, 8, 8, Dtype::bfloat16}) == "asynchronous copies: there is no kernel for bfloat16");
  CHECK(refusal(4, {8, 8, 8, Dtype::float32}) == "tensor cores: there is no kernel for float32");
  CHECK(refusal(5, {8, 8, 8, Dtype::bfloat16}) == "tensor cores, tf32: there is no kernel for bfloat16");
  CHECK(refusal(4, {8, 9, 8, Dtype::bfloat16}) ==
        "tensor cores: rows of 8 and 9 bfloat16 are no multiples of 16 bytes");
}

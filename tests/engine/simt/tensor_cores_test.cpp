#include "haze/engine/simt/tensor_cores.h"

#include <bit>
#include <cmath>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/dtype.h"
#include "haze/engine/simt/counters.h"

#include "engine/ladder/rungs.h"
#include "engine/simt/kernels.h"
#include "engine/simt/launches.h"
#include "engine/simt/mutations.h"

namespace haze {
namespace {

using namespace test;

Launch tensor_launch(const char* kernel, simt::Extent block, size_t in, size_t out, int n = 0) {
  return {kernel, {1}, block, in, out, n, checked::start_tensor, fast::start_tensor};
}

const Launch kCorrect[] = {
    tensor_launch("stream tiles", {64}, 1280, 64, 5),        tensor_launch("copy ragged", {32}, 70, 128, 70),
    tensor_launch("copy shifted", {32}, 66, 32, 2),          tensor_launch("read matrices", {32}, 1, 256),
    tensor_launch("read transposed matrices", {32}, 1, 256), tensor_launch("read two matrices", {32}, 1, 128),
};

// The result of a kernel that multiplies, checked and fast, for these numbers.
std::vector<float> product_of(const char* kernel, const std::vector<float>& in, bool checked, int n = 0) {
  const DeviceArrays arrays(in.size(), 128);
  std::copy(in.begin(), in.end(), const_cast<float*>(arrays.in()));
  (checked ? checked::start_tensor : fast::start_tensor)(kernel, {{1}, {32}}, arrays.in(), arrays.out(), n);
  return arrays.result();
}

// c + a b of in = a [16, k], b [k, 8], c [16, 8].
std::vector<float> brute_force(const std::vector<float>& in, size_t k_count) {
  std::vector<float> result;
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      double sum = in[(16 + 8) * k_count + row * 8 + column];
      for (size_t k = 0; k < k_count; ++k) {
        sum += double{in[row * k_count + k]} * in[16 * k_count + k * 8 + column];
      }
      result.push_back(static_cast<float>(sum));
    }
  }
  return result;
}

std::vector<float> small_integers(size_t count) {
  std::mt19937 numbers(1);
  std::vector<float> result(count);
  for (float& x : result) x = static_cast<float>(std::uniform_int_distribution(-100, 100)(numbers));
  return result;
}

simt::LaunchCounts counts_of(const Launch& launch) {
  simt::set_counting(true);
  launch.result(true);
  simt::set_counting(false);
  return simt::last_counts();
}

}  // namespace

TEST_CASE("simt: correct kernels with asynchronous copies and ldmatrix have no fault, in any order") {
  check_correct(kCorrect);
}

TEST_CASE("simt: asynchronous copies bring the bytes, and zeros behind the last valid one") {
  const std::vector<float> sums = kCorrect[0].result(true);
  for (int t = 0; t < 64; ++t) CHECK(sums[static_cast<size_t>(t)] == static_cast<float>(5 * (63 - t) + 2560));
  const std::vector<float> ragged = kCorrect[1].result(true);
  for (int i = 0; i < 128; ++i) {
    CHECK(ragged[static_cast<size_t>(i)] == (i < 70 ? static_cast<float>(i) : 0));
  }
}

TEST_CASE("simt: each wait and barrier around asynchronous copies and ldmatrix is needed") {
  size_t mutations = 0;
  for (const Launch& launch : kCorrect) {
    CAPTURE(launch.kernel);
    mutations += check_mutations([&] { launch.check(); });
  }
  CHECK(mutations == 3 + 1 + 2 + 3);
}

TEST_CASE("simt: each fault around asynchronous copies and ldmatrix is found") {
  struct Fault {
    Launch launch;
    std::vector<const char*> words;
  };
  const Fault faults[] = {
      {tensor_launch("stream tiles, waiting too little", {64}, 1280, 64, 5),
       {"asked for a copy_async at tensor_kernels.cu:", "did not wait for it before a read: tile, byte"}},
      {tensor_launch("copy without commit", {32}, 66, 32, 0), {"did not wait for it before a read: s, byte"}},
      {tensor_launch("copy beyond the end", {32}, 126, 128, 126),
       {"out-of-bounds read of 16 bytes: in, byte 496 of 504"}},
      {tensor_launch("copy shifted", {32}, 66, 32, 1), {"misaligned read of 8 bytes: in, byte"}},
      {tensor_launch("copy out of shared memory", {32}, 1, 32), {"not from global to shared memory, at"}},
      {tensor_launch("read matrices 20 bytes apart", {32}, 1, 256), {"misaligned read of 16 bytes: s, byte"}},
      {tensor_launch("divergent matrices", {32}, 1, 32, 7),
       {"lanes of a warp wait in", "ldmatrix", "__syncwarp"}},
      {tensor_launch("matrices at two lines", {32}, 1, 32, 7), {"lanes of a warp run ldmatrix at line"}},
      {tensor_launch("read matrices", {24}, 1, 256), {"ldmatrix takes a warp of 32 lanes, this one has 24"}},
  };
  for (const Fault& fault : faults) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const Seed scope(seed);
      const std::string sentence = fault.launch.fault();
      CAPTURE(fault.launch.kernel);
      CAPTURE(sentence);
      for (const char* word : fault.words) CHECK(sentence.find(word) != std::string::npos);
    }
  }
}

TEST_CASE("simt: ldmatrix gives lane i two neighbours of row i / 4, or of column i / 4") {
  const std::vector<float> rows = tensor_launch("read matrices", {32}, 1, 256).result(true);
  const std::vector<float> columns = tensor_launch("read transposed matrices", {32}, 1, 256).result(true);
  const std::vector<float> two = tensor_launch("read two matrices", {32}, 1, 128).result(true);
  for (size_t lane = 0; lane < 32; ++lane) {
    for (size_t i = 0; i < 8; ++i) {
      const size_t matrix = i / 2, along = lane % 4 * 2 + i % 2;
      CHECK(rows[lane * 8 + i] == static_cast<float>(matrix * 64 + lane / 4 * 8 + along));
      CHECK(columns[lane * 8 + i] == static_cast<float>(matrix * 64 + along * 8 + lane / 4));
      if (i < 4) CHECK(two[lane * 4 + i] == rows[lane * 8 + i]);
    }
  }
}

TEST_CASE("simt: mma multiplies fragments as the PTX ISA lays them out") {
  for (bool checked : {false, true}) {
    const std::vector<float> wide = small_integers(256 + 128 + 128);
    CHECK(product_of("multiply bfloat16", wide, checked) == brute_force(wide, 16));
    const std::vector<float> narrow = small_integers(128 + 64 + 128);
    CHECK(product_of("multiply tfloat32", narrow, checked) == brute_force(narrow, 8));
  }
}

TEST_CASE("simt: mma rounds a sum once, and reads 10 bits of a tfloat32's mantissa") {
  std::vector<float> in(512, 0.0f);
  for (size_t k = 0; k < 16; ++k) {  // row 0 of a, column 0 of b
    in[k] = std::ldexp(1.0f, -12);
    in[256 + k * 8] = std::ldexp(1.0f, -12);
  }
  in[384] = 1;
  CHECK(product_of("multiply bfloat16", in, true)[0] == 1 + std::ldexp(1.0f, -20));
  std::vector<float> narrow(320, 0.0f);
  narrow[0] = 1 + std::ldexp(3.0f, -12);  // three quarters of the last bit
  narrow[128] = 1;
  CHECK(product_of("multiply tfloat32", narrow, true)[0] == 1 + std::ldexp(1.0f, -10));
  CHECK(product_of("multiply tfloat32", narrow, true, 1)[0] == 1);
}

TEST_CASE("simt: a number is rounded to the nearest tfloat32, ties away from 0") {
  const auto rounded = [](float x) { return std::bit_cast<float>(simt::rounded_to_tfloat32(x)); };
  std::mt19937 numbers(1);
  for (int i = 0; i < 10000; ++i) {
    const float sign = i % 2 == 0 ? 1 : -1;
    const float x = std::ldexp(sign * std::uniform_real_distribution<float>(1, 2)(numbers), i % 250 - 124);
    int exponent = 0;
    const double mantissa = std::frexp(double{x}, &exponent);  // round() takes ties away from 0
    CHECK(rounded(x) == std::ldexp(std::round(std::ldexp(mantissa, 11)), exponent - 11));
  }
  CHECK(rounded(1 + std::ldexp(1.0f, -11)) == 1 + std::ldexp(1.0f, -10));
  CHECK(rounded(-1 - std::ldexp(1.0f, -11)) == -1 - std::ldexp(1.0f, -10));
  CHECK(rounded(std::numeric_limits<float>::max()) == std::numeric_limits<float>::infinity());
  CHECK(rounded(-std::numeric_limits<float>::infinity()) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(rounded(std::nanf(""))));
}

TEST_CASE("simt: ldmatrix reads 8 rows a pass: no conflict side by side or 144 bytes apart, 7 at 128 bytes") {
  const auto conflicts = [](const char* kernel) {
    return conflicts_a_request(counts_of(tensor_launch(kernel, {32}, 1, 256)).total(true, false));
  };
  CHECK(conflicts("read matrices") == 0);
  CHECK(conflicts("read matrices 144 bytes apart") == 0);
  CHECK(conflicts("read matrices 128 bytes apart") == 4 * 7);
}

TEST_CASE("simt: an asynchronous copy counts as a read of global and a write to shared memory") {
  const simt::LaunchCounts counts = counts_of(kCorrect[0]);
  const simt::LineCount from = counts.total(false, false), to = counts.total(true, true);
  CHECK(from.requests == 10);
  CHECK(sectors_a_request(from) == 16);
  CHECK(from.bytes == 5120);
  CHECK(to.requests == 10);
  CHECK(to.conflicts == 0);
  const simt::LineCount ragged = counts_of(kCorrect[1]).total(false, false);
  CHECK(ragged.requests == 1);
  CHECK(ragged.sectors == 9);  // of 280 bytes
  const simt::LineCount last = counts_of(tensor_launch("copy last", {32}, 128, 32, 3)).total(false, false);
  CHECK(last.requests == 1);  // the others read nothing
  CHECK(last.sectors == 16);
}

}  // namespace haze

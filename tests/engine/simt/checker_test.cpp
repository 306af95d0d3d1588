#include "haze/engine/simt/checker.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/simt/hooks.h"

#include "engine/simt/kernels.h"
#include "engine/simt/launches.h"
#include "engine/simt/mutations.h"
#include "error_of.h"

namespace haze {
namespace {

using testing::error_of;
using namespace test;

const Launch kCorrect[] = {
    {"reduce", {4}, {256}, 1024, 4},
    {"collectives", {1}, {32}, 32, 128},
    {"exchange", {1}, {32}, 32, 32},
    {"add blocks", {4}, {64}, 4, 1},
    {"last block", {4}, {64}, 4, 6},
    {"double buffer", {1}, {64}, 256, 64, 4},
    {"mirrored", {1}, {64}, 64, 64, 0},
    {"shifted", {1}, {64}, 65, 64, 1},
    {"copy vectors", {1}, {32}, 132, 128, 4},
    {"early return", {1}, {64}, 64, 64, 64},
    {"half shuffle", {1}, {32}, 32, 16, 5},
    {"half words", {1}, {64}, 1, 32},
    {"transpose by tiles", {2, 2}, {32, 32}, 64 * 64, 64 * 64, 64},
    {"matmul", {2, 2}, {16, 16}, 2 * 32 * 32, 32 * 32, 32},
};

}  // namespace

TEST_CASE(
    "simt: a correct kernel has no fault and the same result, checked and fast, in any order of its "
    "threads") {
  check_correct(kCorrect);
}

TEST_CASE("simt: kernels compute what they say") {
  CHECK(Launch{"reduce", {4}, {256}, 1024, 4}.result(true) ==
        std::vector<float>{32640, 98176, 163712, 229248});
  const std::vector<float> lanes = Launch{"collectives", {1}, {32}, 32, 128}.result(true);
  CHECK(lanes[0] == 31 * 16);
  for (int t = 0; t < 32; ++t) {
    if (t > 0) CHECK(lanes[static_cast<size_t>(4 * t)] == static_cast<float>(31 - t));
    const int first = t / 8 * 8, below = t == first ? t : t - 1;
    CHECK(lanes[static_cast<size_t>(4 * t + 1)] == static_cast<float>(below + 100 * (first + 3)));
    CHECK(lanes[static_cast<size_t>(4 * t + 2)] == 1);
    CHECK(lanes[static_cast<size_t>(4 * t + 3)] == 1);
  }
  CHECK(Launch{"add blocks", {4}, {64}, 4, 1}.result(true) == std::vector<float>{6});
  CHECK(Launch{"last block", {4}, {64}, 4, 6}.result(true)[0] == 6);
}

TEST_CASE("simt: each kind of fault is found, with its line") {
  struct Fault {
    Launch launch;
    std::vector<const char*> words;
  };
  const Fault faults[] = {
      {{"reduce without __syncthreads", {4}, {256}, 1024, 4}, {"race", "s, byte", "kernels.cu:"}},
      {{"reduce without __syncwarp", {4}, {256}, 1024, 4}, {"race", "s, byte"}},
      {{"exchange around a shuffle", {1}, {32}, 32, 32}, {"race", "s, byte"}},
      {{"add blocks without atomic", {4}, {64}, 4, 1}, {"race", "out, byte 0 of 4", "of block"}},
      {{"last block without fence", {4}, {64}, 4, 6}, {"race", "out, byte"}},
      {{"mirrored", {2}, {64}, 64, 64, 0}, {"race", "out, byte"}},
      {{"mirrored", {1}, {64}, 64, 64, 1}, {"uninitialised read: dynamic shared memory, byte 0 of 256"}},
      {{"shifted", {1}, {64}, 64, 64, 1}, {"out-of-bounds read of 4 bytes: in, byte 256 of 256", "shifted"}},
      {{"shifted", {1}, {64}, 64, 64, -1}, {"out-of-bounds read of 4 bytes"}},
      {{"copy vectors", {1}, {32}, 129, 128, 1}, {"misaligned read of 16 bytes"}},
      {{"copy vectors", {1}, {32}, 130, 128, 4}, {"out-of-bounds read of 16 bytes"}},
      {{"early return", {1}, {64}, 64, 64, 40}, {"waits in __syncthreads at", "24 of 64 threads have ended"}},
      {{"divergent votes", {1}, {32}, 1, 32, 7}, {"lanes of a warp wait in", "__ballot_sync", "__syncwarp"}},
      {{"half shuffle", {1}, {32}, 32, 16, 20}, {"reads lane 20, which is not in the mask 0xffff"}},
      {{"host memory", {1}, {32}, 1, 32, 4096}, {"the host's memory is touched", "host_memory"}},
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

TEST_CASE("simt: memory that has been freed is not read unnoticed") {
  const DeviceArrays arrays(64, 64);
  const float* stale = nullptr;
  {
    const DeviceArrays others(64, 64);
    stale = others.in();
  }
  const std::string sentence = error_of([&] { checked::start("copy", {{1}, {32}}, stale, arrays.out(), 0); });
  CHECK(sentence.find("read after free: in, byte") != std::string::npos);
}

TEST_CASE("simt: launches beyond the device's limits are refused, as the device does") {
  const Launch launch{"copy", {1}, {32}, 32, 32};
  const auto refusal = [&](simt::Extent grid, simt::Extent block, size_t shared) {
    const DeviceArrays arrays(32, 32);
    return error_of([&] { fast::start("copy", {grid, block, shared}, arrays.in(), arrays.out(), 0); });
  };
  CHECK(refusal({1}, {32, 33}, 0).find("1056 threads a block") != std::string::npos);
  CHECK(refusal({1}, {0}, 0).find("a block of 0 x 1 x 1") != std::string::npos);
  CHECK(refusal({1}, {1, 1, 65}, 0).find("a block of 1 x 1 x 65") != std::string::npos);
  CHECK(refusal({1, 65536}, {32}, 0).find("a grid of 1 x 65536 x 1") != std::string::npos);
  CHECK(refusal({1}, {32}, simt::kMostSharedBytes + 1).find("dynamic shared memory") != std::string::npos);
  CHECK(launch.fault() == "");
}

TEST_CASE("simt: every barrier and fence of a correct kernel is needed: without it, a fault is found") {
  size_t mutations = 0;
  for (const Launch& launch : kCorrect) {
    if (launch.kernel == std::string("collectives") || launch.kernel == std::string("early return")) continue;
    CAPTURE(launch.kernel);
    mutations += check_mutations([&] { launch.check(); });
  }
  CHECK(mutations >= 12);
}

TEST_CASE("simt: the same seed gives the same report, other seeds other ones") {
  const Launch launch{"reduce without __syncthreads", {4}, {256}, 1024, 4};
  std::set<std::string> reports;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    const Seed scope(seed);
    const std::string report = launch.fault();
    CHECK(launch.fault() == report);
    reports.insert(report);
  }
  CHECK(reports.size() > 1);
}

TEST_CASE("simt: no hook runs in the program's own code") {
  Launch{"reduce", {4}, {256}, 1024, 4}.result(true);
  const uint64_t before = simt::hook_calls();
  std::vector<float> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  CHECK(std::accumulate(numbers.begin(), numbers.end(), 0.0f) > 0);
  Launch{"reduce", {4}, {256}, 1024, 4}.result(false);
  CHECK(simt::hook_calls() == before);
}

}  // namespace haze

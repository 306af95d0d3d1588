#include "haze/engine/simt/counters.h"

#include <vector>

#include <doctest/doctest.h>

#include "haze/engine/simt/checker.h"

#include "engine/ladder/rungs.h"
#include "engine/simt/kernels.h"

namespace haze {

using test::conflicts_a_request;
using test::sectors_a_request;

namespace {

// The counts of a launch on in and out of n numbers each.
simt::LaunchCounts counts_of(const char* kernel, simt::Extent grid, simt::Extent block, size_t count, int n) {
  auto* const in = static_cast<float*>(simt::allocate_device("in", count * sizeof(float)));
  auto* const out = static_cast<float*>(simt::allocate_device("out", count * sizeof(float)));
  simt::mark_initialised(in, count * sizeof(float));
  simt::set_counting(true);
  checked::start(kernel, {grid, block}, in, out, n);
  simt::set_counting(false);
  simt::free_device(in);
  simt::free_device(out);
  return simt::last_counts();
}

}  // namespace

TEST_CASE(
    "simt: sectors are those that a warp touches: 4 where neighbours read neighbours, 32 across a matrix") {
  const auto copy = counts_of("copy", {4}, {64}, 256, 0);
  CHECK(copy.total(false, false).requests == 8);
  CHECK(copy.total(false, false).bytes == 1024);
  CHECK(sectors_a_request(copy.total(false, false)) == 4);
  CHECK(sectors_a_request(copy.total(false, true)) == 4);
  CHECK(sectors_a_request(counts_of("copy with stride 2", {1}, {64}, 128, 0).total(false, false)) == 8);
  const auto transpose = counts_of("transpose", {2, 2}, {32, 32}, 64 * 64, 64);
  CHECK(sectors_a_request(transpose.total(false, false)) == 4);
  CHECK(sectors_a_request(transpose.total(false, true)) == 32);
  CHECK(sectors_a_request(counts_of("copy vectors", {1}, {32}, 128, 0).total(false, false)) == 16);
}

TEST_CASE("simt: bank conflicts are passes too many: 31 down a column of 32, none with padding") {
  const auto tile = counts_of("transpose by tiles", {2, 2}, {32, 32}, 64 * 64, 64);
  CHECK(conflicts_a_request(tile.total(true, true)) == 0);
  CHECK(conflicts_a_request(tile.total(true, false)) == 31);
  CHECK(sectors_a_request(tile.total(false, true)) == 4);
  CHECK(counts_of("transpose by padded tiles", {2, 2}, {32, 32}, 64 * 64, 64).total(true, false).conflicts ==
        0);
  CHECK(counts_of("shared vectors", {1}, {32}, 32, 0).total(true, true).conflicts == 0);
  // A quarter-warp of 16 bytes a lane, 32 bytes apart, needs each bank twice.
  CHECK(conflicts_a_request(counts_of("shared vectors with stride 2", {1}, {32}, 32, 0).total(true, true)) ==
        4);
}

TEST_CASE("simt: counts name the line and the kernel") {
  const auto counts = counts_of("copy", {1}, {32}, 32, 0);
  CHECK(counts.kernel == "copy");
  REQUIRE(counts.lines.size() == 2);
  CHECK(counts.lines[0].line.find("kernels.cu:") == 0);
  CHECK(counts.lines[0].line.find(" in copy<1>") != std::string::npos);
  CHECK(counts.lines[0].line == counts.lines[1].line);
}

TEST_CASE("simt: a sample of the blocks has the counts of all of them, scaled, where blocks are alike") {
  const auto all = counts_of("transpose by tiles", {8, 8}, {32, 32}, 256 * 256, 256);
  CHECK(all.blocks == 64);
  CHECK(all.scale() == 1);
  simt::set_sampled_blocks(3);
  const auto sample = counts_of("transpose by tiles", {8, 8}, {32, 32}, 256 * 256, 256);
  simt::set_sampled_blocks(0);
  CHECK(sample.blocks == 3);
  REQUIRE(sample.lines.size() == all.lines.size());
  for (size_t i = 0; i < all.lines.size(); ++i) {
    CHECK(sample.lines[i].line == all.lines[i].line);
    CHECK(static_cast<double>(sample.lines[i].requests) * sample.scale() ==
          doctest::Approx(static_cast<double>(all.lines[i].requests)));
    CHECK(static_cast<double>(sample.lines[i].passes) * sample.scale() ==
          doctest::Approx(static_cast<double>(all.lines[i].passes)));
  }
}

TEST_CASE("simt: a line keeps its worst request: 32 addresses in one bank") {
  const auto tile = counts_of("transpose by tiles", {1, 1}, {32, 32}, 32 * 32, 32);
  for (const simt::LineCount& line : tile.lines) {
    CHECK(line.worst.lanes == ~0u);
    CHECK(line.worst.bytes == 4);
    if (!line.in_shared || line.writes) continue;
    CHECK(line.worst_units == 32);
    CHECK(simt::bank_passes_of(line.worst).conflicts == 31);
    for (unsigned lane = 1; lane < simt::kWarp; ++lane)
      CHECK(line.worst.addresses[lane] - line.worst.addresses[lane - 1] == 128);
  }
}

TEST_CASE("simt: 16 bytes a lane take four passes over the banks, and a conflict one more") {
  const auto vectors = counts_of("shared vectors", {1}, {32}, 32, 0).total(true, true);
  CHECK(vectors.passes == 4);
  CHECK(vectors.conflicts == 0);
  CHECK(counts_of("shared vectors with stride 2", {1}, {32}, 32, 0).total(true, true).passes == 8);
}

TEST_CASE("simt: a warp is followed in the order of its source, barriers among its accesses") {
  simt::set_following(true);
  const auto tile = counts_of("transpose by tiles", {2, 2}, {32, 32}, 64 * 64, 64);
  simt::set_following(false);
  std::vector<std::string> steps;
  for (const simt::WarpStep& step : tile.followed)
    steps.push_back((step.in_shared ? "shared " : "") + step.what);
  CHECK(steps == std::vector<std::string>{"read", "shared write", "__syncthreads", "shared read", "write"});
  CHECK(tile.followed[0].memory == "in");
  CHECK(tile.followed[0].request.addresses[31] == tile.followed[0].memory_begin + 31 * sizeof(float));
}

}  // namespace haze

#include <array>
#include <cmath>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/lab/climb.h"
#include "haze/tools/lab/lab_report.h"

#include "tools/error_of.h"
#include "tools/program.h"

using namespace haze;
using namespace haze::testing;

namespace {

std::string lab(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "lab");
  const ProgramResult result = run_program(arguments);
  CHECK(result.status == 0);
  CHECK(result.error.empty());
  return result.output;
}

RungReport climbed(unsigned rung, int64_t size, uint64_t blocks = 0) {
  return climb(ladder_named("transpose"), rung, gpu_named("h100"),
               {.size = size, .blocks = blocks, .compiled = &compiled_kernels()});
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE(
    "lab: transpose moves 4.5 times what it needs, then all of it once; a column of the tile conflicts") {
  struct Row {
    double written_sectors, conflicts, moved_over_needed;
  };
  // 4 sectors read and 32 written for 8 needed; half of the requests of the tile read a column of it.
  constexpr std::array<Row, 4> kRows = {{{32, 0, 4.5}, {4, 15.5, 1}, {4, 0, 1}, {4, 0, 1}}};
  for (unsigned rung = 0; rung < kRows.size(); ++rung) {
    for (const uint64_t blocks : {0, 3}) {
      CAPTURE(rung);
      CAPTURE(blocks);
      const RungReport report = climbed(rung, 128, blocks);
      CHECK(report.right == true);
      CHECK(report.largest_error == 0);
      CHECK(report.read_sectors == 4);
      CHECK(report.written_sectors == kRows[rung].written_sectors);
      CHECK(report.conflicts == kRows[rung].conflicts);
      CHECK(report.needed_bytes == 2 * 4 * 128 * 128);
      CHECK(report.moved_bytes == doctest::Approx(kRows[rung].moved_over_needed * report.needed_bytes));
    }
  }
}

TEST_CASE("lab: blocks fewer than the multiprocessors leave the others idle") {
  const Gpu& gpu = gpu_named("h100");
  const CompiledKernels& table = compiled_kernels();
  const RungReport one_block =
      climb(ladder_named("sum"), 0, gpu, {.size = 128, .blocks = 0, .compiled = &table});
  const double bytes = 4 * 128 * 128 + 4;
  CHECK(one_block.bound.limit() == std::string("cache"));
  // A sector is the least that is moved, for the sum as well.
  CHECK(one_block.bound.cache == doctest::Approx((4 * 128 * 128 + 32) / (64 * 1.83e9)));
  CHECK(one_block.bound.ideal == doctest::Approx(bytes / 3350e9));
}

TEST_CASE("lab: a rung that is not compared with the cpu is neither right nor wrong, and counted the same") {
  const RungReport report =
      climb(ladder_named("transpose"), 0, gpu_named("h100"),
            {.size = 128, .blocks = 2, .compare = false, .compiled = &compiled_kernels()});
  CHECK_FALSE(report.right.has_value());
  CHECK(report.written_sectors == 32);
}

TEST_CASE("lab: the time of transpose is that of its bytes, of its sectors or of its conflicts") {
  const Gpu& gpu = gpu_named("h100");
  // 256 blocks: all multiprocessors have work.
  const double bytes = 2 * 4 * 512 * 512;
  const auto bound = [](unsigned rung) { return climbed(rung, 512, 2).bound; };
  const TimeBound naive = bound(0), tiled = bound(1), padded = bound(2);
  CHECK(naive.seconds() == doctest::Approx(4.5 * bytes / gpu.cache_bandwidth));
  CHECK(naive.limit() == std::string("cache"));
  // 8192 requests write a row in a pass each, 8192 read a column in 32.
  CHECK(tiled.seconds() == doctest::Approx(8192 * 33 / (132 * 1.83e9)));
  CHECK(tiled.limit() == std::string("shared"));
  CHECK(padded.seconds() == doctest::Approx(bytes / 3350e9));
  CHECK(padded.limit() == std::string("memory"));
  CHECK(padded.share_of_limit() == 1);
}

TEST_CASE("lab: arithmetic limits a kernel of many operations, at the peak of its units") {
  const TimeBound bound{.memory = 1, .cache = 2, .shared = 3, .arithmetic = 4};
  CHECK(bound.seconds() == 4);
  CHECK(bound.limit() == std::string("arithmetic"));
  CHECK(TimeBound{.memory = 1, .cache = 4, .arithmetic = 2, .ideal = 2}.share_of_limit() == 0.5);
  CHECK(gpu_named("a100").peak(Arithmetic::bfloat16) == 312e12);
  CHECK(gpu_named("rtx4090").peak(Arithmetic::float32) == 82.6e12);
}

TEST_CASE(
    "lab: occupancy follows threads, registers, shared memory and blocks, as NVIDIA's calculator says") {
  const Gpu &h100 = gpu_named("h100"), &rtx4090 = gpu_named("rtx4090"), &a100 = gpu_named("a100");
  CHECK(occupancy(h100, {256, 32, 0}) == 1);
  CHECK(occupancy(h100, {256, 40, 0}) == 0.75);  // 51 warps have registers: 6 blocks
  CHECK(occupancy(h100, {256, 64, 0}) == 0.5);
  CHECK(occupancy(h100, {256, 255, 0}) == 0.125);        // 8 warps: one block
  CHECK(occupancy(h100, {1024, 65, 0}) == 0);            // 28 warps have registers, a block has 32
  CHECK(occupancy(h100, {32, 16, 0}) == 0.5);            // 32 blocks
  CHECK(occupancy(h100, {256, 32, 48 << 10}) == 0.5);    // 4 blocks of 49 KiB in 228
  CHECK(occupancy(a100, {256, 32, 48 << 10}) == 0.375);  // 3 in 164
  CHECK(occupancy(rtx4090, {256, 40, 0}) == 1);          // 6 blocks are all of its 1536 threads
  CHECK(occupancy(rtx4090, {256, 32, 100 << 10}) == 0);
}

TEST_CASE("lab: a kernel's name leads from the emulator to the table of ptxas") {
  CHECK(
      kernel_name("void haze::checked::(anonymous namespace)::f<haze::checked::Tile, (E)1>(float const*)") ==
      "f<Tile, (E)1>");
  CHECK(kernel_name("haze::gpu::g(float const*, int (*)(int))") == "g");
  const RungReport padded = climbed(2, 64);
  CHECK(padded.kernel.name == "transpose_by_tiles<PaddedTile, float, float>");
  REQUIRE(padded.kernel.compiled.has_value());
  CHECK(padded.kernel.compiled->shared_bytes == 4 * 32 * 33);
  CHECK(error_of([] { parse_compiled_kernels("12 0 0 name\n", "table.txt"); }) ==
        "table.txt: '12 0 0 name' is no line of a table of compiled kernels");
}

TEST_CASE("lab: no kernel of a ladder spills registers") {
  for (const auto& [name, kernel] : compiled_kernels()) {
    CAPTURE(name);
    CHECK(kernel.spill_stores + kernel.spill_loads == 0);
  }
}

TEST_CASE("lab: every ladder climbs, is right, and finds its kernels in the table") {
  for (const Ladder& ladder : ladders()) {
    CAPTURE(ladder.name);
    for (unsigned rung = 0; rung < ladder.rungs.size(); ++rung) {
      CAPTURE(ladder.rungs[rung].name);
      const RungReport report =
          climb(ladder, rung, gpu_named("h100"),
                {.size = ladder.step_size, .blocks = 1, .compiled = &compiled_kernels()});
      CHECK(report.right == true);
      CHECK(report.kernel.compiled.has_value());
      CHECK(report.bound.seconds() > 0);
      CHECK(std::isfinite(report.bound.seconds()));
    }
  }
}

TEST_CASE("lab: the figure of a column of the tile has one lane that is served first, in bank 0") {
  const RungReport tiled = climbed(1, 64, 1);
  const simt::LineCount& worst = line_to_draw(tiled, 0);
  CHECK(worst.in_shared);
  CHECK(worst.worst_units == 32);
  const std::string svg = request_svg(tiled, worst);
  CHECK(count_of(svg, "<rect class=\"cell\"") == 1);
  CHECK(count_of(svg, "<rect class=\"late\"") == 31);
  CHECK(svg.find("32 passes over the banks") != std::string::npos);
  const RungReport naive = climbed(0, 64, 1);
  const std::string sectors = request_svg(naive, line_to_draw(naive, 0));
  CHECK(count_of(sectors, "<rect class=\"cell\"") == 32);
  CHECK(sectors.find("32 sectors") != std::string::npos);
}

TEST_CASE("haze lab lists the ladders, and climbs one as text and as JSON") {
  const std::string list = lab({});
  for (const ladder::Rung& rung : ladder::Transpose::kRungs) CHECK(list.find(rung.idea) != std::string::npos);
  const std::vector<std::string> table = lines_of(lab({"transpose", "--size", "64"}));
  REQUIRE(table.size() > 8);
  CHECK(words_of(table[4]) == words_of("naive yes 4.0 32.0 - 4.50 - 20 0 0 100% 0.31 us cache 3%"));
  CHECK(words_of(table[5]) == words_of("tiled yes 4.0 4.0 15.50 1.00 - 32 4096 0 100% 0.58 us shared 2%"));
  const auto json = nlohmann::json::parse(lab({"transpose", "--size", "64", "--gpu", "a100", "--json"}));
  CHECK(json["gpu"] == "a100");
  CHECK(json["rungs"].size() == 4);
  CHECK(json["rungs"][3]["conflicts"] == 0);
}

TEST_CASE("haze lab steps through a warp: what it reads, writes and waits for") {
  std::vector<std::string> steps = lines_of(lab({"transpose", "--rung", "tiled", "--step"}));
  REQUIRE(steps.size() == 19);
  CHECK(steps.front().ends_with("; size 32"));
  steps.erase(steps.begin());
  CHECK(words_of(steps[1])[1] == "read");
  CHECK(steps[1].find("x [0, 1, ..., 31]") != std::string::npos);
  CHECK(steps[2].find("tile [0, 1, ..., 31]") != std::string::npos);
  CHECK(words_of(steps[9])[1] == "__syncthreads");
  CHECK(steps[12].find("tile [8, 40, ..., 1000]") != std::string::npos);
  CHECK(steps[17].find("the result [768, 769, ..., 799]") != std::string::npos);
}

TEST_CASE("haze lab names the lanes of a step that leaves some out") {
  // The last warp of a sum: fewer lanes in each step.
  const std::string steps = lab({"sum", "--rung", "shared tree", "--step"});
  CHECK(steps.find("; lanes 0-15\n") != std::string::npos);
  CHECK(steps.find("; lanes 0\n") != std::string::npos);
}

TEST_CASE("haze lab draws a line of a rung to a file") {
  const TemporaryFolder folder;
  const std::string file = (folder / "banks.svg").string();
  const std::string text = lab({"transpose", "--size", "64", "--rung", "2", "--svg", file});
  CHECK(text.find("31.00  reads shared") != std::string::npos);
  CHECK(read_text(file).starts_with("<svg"));
}

TEST_CASE("what haze lab cannot do is one sentence") {
  check_failure({"lab", "transpos"}, 2, "there is no ladder 'transpos'; the ladders are transpose");
  check_failure({"lab", "transpose", "--rung", "padde"}, 2,
                "the ladder transpose has no rung 'padde'; its rungs");
  check_failure({"lab", "transpose", "--gpu", "b100"}, 2,
                "there is no GPU 'b100' here; those that can be chosen");
  check_failure({"lab", "transpose", "--size", "0"}, 2, "--size takes a whole number from 1 to 8192");
  check_failure({"lab", "transpose", "--size", "x"}, 2, "--size takes");
  check_failure({"lab", "matmul", "--size", "33"}, 2,
                "the ladder matmul takes a --size that is a multiple of 8, not 33");
  check_failure({"lab", "--gpu", "h100"}, 2, "--gpu is for a ladder, and none is named");
  check_failure({"lab", "transpose", "--step"}, 2, "--step shows one rung: name it by --rung");
  check_failure({"lab", "transpose", "--rung", "1", "--line", "5"}, 2, "--line says what --svg draws");
  check_failure({"lab", "transpose", "--size", "32", "--rung", "1", "--svg", "x.svg", "--line", "5"}, 2,
                "the rung naive accesses no memory at line 5; it does at ");
  check_failure({"lab", "transpose", "--size", "32", "--compiled", "nowhere.txt"}, 1, "nowhere.txt");
  check_failure({"lab", "puzzle", "4"}, 2, "there is no puzzle 4; there are 3");
  check_failure({"lab", "puzzle", "--check"}, 2, "--check is for a puzzle, and none is named");
}

TEST_CASE("lab: --device times every rung on that device, where it is right; counts have other options") {
  const std::string output = lab({"transpose", "--size", "40", "--device", "simt"});
  CHECK(output.find("size 40, on simt") != std::string::npos);
  CHECK(count_of(output, "  yes  ") == ladder_named("transpose").rungs.size());
  CHECK(time_rung(ladder_named("sum"), 0, 16, Device::simt).seconds > 0);
  const ProgramResult wrong = run_program({"lab", "transpose", "--device", "simt", "--blocks", "2"});
  CHECK(wrong.status == 2);
  CHECK(wrong.error.find("--blocks is for counts, and --device asks for times") != std::string::npos);
}

TEST_CASE("lab: --device times cuBLAS or what stands in for it beside the rungs, and it is right") {
  const Ladder& matmul = ladder_named("matmul");
  const std::string output = lab({"matmul", "--size", "16", "--device", "simt"});
  CHECK(count_of(output, "  yes  ") == matmul.rungs.size() + matmul.peers.size());
  CHECK(output.find("\ncuBLAS (bfloat16)  ") != std::string::npos);
  CHECK(lab({"matmul", "--size", "16", "--rung", "naive", "--device", "simt"}).find("cuBLAS") ==
        std::string::npos);
  const TimedRung cudnn = time_peer(ladder_named("convolution").peers.front(), 1, Device::simt);
  CHECK(cudnn.right);
  CHECK(cudnn.flops == 2.0 * 64 * 64 * 9 * 32 * 32);
}

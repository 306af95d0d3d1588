#include "haze/tools/lab/puzzles.h"

#include <array>

#include <doctest/doctest.h>

#include "tools/program.h"
#include "tools/puzzle_solutions.h"

using namespace haze;
using namespace haze::testing;

TEST_CASE("lab: the fault of every puzzle is found at its line, and the repaired kernel has none") {
  constexpr std::array<const char*, 3> kFaults = {"race: thread ", "3.00 conflicts each",
                                                  "race: thread 0 of block "};
  REQUIRE(puzzles().size() == kFaults.size());
  for (size_t i = 0; i < kFaults.size(); ++i) {
    const Puzzle& puzzle = puzzles()[i];
    CAPTURE(puzzle.name);
    const PuzzleVerdict faulty = puzzle.judge(puzzle.run);
    CHECK_FALSE(faulty.solved);
    CHECK(faulty.report.find(kFaults[i]) != std::string::npos);
    CHECK(faulty.report.find(fmt::format("puzzle_{}.cu:", i + 1)) != std::string::npos);
    const auto repaired = [&](const Tensor& x, const Tensor& out) {
      launch(test::SolvedPuzzle{static_cast<int>(i + 1), x, out});
    };
    const PuzzleVerdict solved = puzzle.judge(repaired);
    CAPTURE(solved.report);
    CHECK(solved.solved);
  }
}

TEST_CASE("lab: a kernel without a fault that does nothing solves no puzzle") {
  for (const Puzzle& puzzle : puzzles()) {
    CAPTURE(puzzle.name);
    CHECK_FALSE(puzzle.judge([](const Tensor&, const Tensor&) {}).solved);
  }
}

TEST_CASE("haze lab puzzle lists the puzzles, shows a kernel without its fault, and checks it") {
  const ProgramResult list = run_program({"lab", "puzzle"});
  CHECK(lines_of(list.output).size() == 6);
  const ProgramResult shown = run_program({"lab", "puzzle", "1"});
  CHECK(shown.status == 0);
  CHECK(shown.output.find("__global__ void last_warp") != std::string::npos);
  CHECK(shown.output.find("race") == std::string::npos);
  const ProgramResult checked = run_program({"lab", "puzzle", "3", "--check"});
  CHECK(checked.status == 1);
  CHECK(checked.output.find("not solved: change tools/lab/puzzles/puzzle_3.cu") != std::string::npos);
}

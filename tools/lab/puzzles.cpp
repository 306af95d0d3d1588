#include "haze/tools/lab/puzzles.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include <fmt/format.h>

#include "haze/engine/ops.h"
#include "haze/engine/simt/counters.h"
#include "haze/engine/simt/launch.h"
#include "haze/tools/lab/embedded.h"
#include "haze/tools/lab/puzzles/puzzle.h"

namespace haze {
namespace {

using Run = std::function<void(const Tensor& x, const Tensor& out)>;

constexpr uint64_t kSeeds = 5;

/// While it lives, launches run checked kernels, in the order of a seed, and are counted.
class CheckedScope {
 public:
  explicit CheckedScope(uint64_t seed) {
    simt::set_checked(true);
    simt::set_counting(true);
    simt::set_seed(seed);
  }
  ~CheckedScope() {
    simt::set_seed(1);
    simt::set_counting(false);
    simt::set_checked(false);
  }
  CheckedScope(const CheckedScope&) = delete;
  CheckedScope& operator=(const CheckedScope&) = delete;
};

struct Data {
  Tensor x, out;
  Data(const Shape& x_shape, const Shape& out_shape) {
    Generator generator(1);
    x = to(normal(x_shape, generator), Device::simt);
    out = zeros(out_shape, Dtype::float32, Device::simt);
  }
};

/// The faults that the checker finds under some seeds, and whether the sum is right.
PuzzleVerdict judge_sum(int64_t count, const Run& run) {
  double sum = 0;
  for (const float x : to(Data({count}, {}).x, Device::cpu).to_vector<float>()) sum += x;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Data data({count}, {});
    try {
      const CheckedScope scope(seed);
      run(data.x, data.out);
    } catch (const Error& error) {
      return {false, fmt::format("seed {}: {}\n", seed, error.what())};
    }
    const double got = to(data.out, Device::cpu).item();
    if (std::abs(got - sum) > 1e-4)
      return {false, fmt::format("seed {}: the sum is {:.6f}, and {:.6f} is right\n", seed, got, sum)};
  }
  return {true, fmt::format("no fault under {} orders of the threads, and the sum is right\n", kSeeds)};
}

PuzzleVerdict judge_transpose(const Run& run) {
  const Data data({64, 64}, {64, 64});
  std::string report;
  bool clean = true;
  try {
    const CheckedScope scope(1);
    run(data.x, data.out);
    for (const simt::LineCount& line : simt::last_counts().lines) {
      if (!line.in_shared) continue;
      clean = clean && line.conflicts == 0;
      report += fmt::format("{}: {} requests that {} shared memory, {:.2f} conflicts each\n", line.line,
                            line.requests, line.writes ? "write" : "read",
                            static_cast<double>(line.conflicts) / static_cast<double>(line.requests));
    }
  } catch (const Error& error) {
    return {false, fmt::format("{}\n", error.what())};
  }
  const auto wanted = contiguous(transpose(to(data.x, Device::cpu))).to_vector<float>();
  if (to(data.out, Device::cpu).to_vector<float>() != wanted)
    return {false, report + "the result is not the transposed matrix\n"};
  return {clean, report + "the result is right\n"};
}

}  // namespace

const std::vector<Puzzle>& puzzles() {
  static const std::vector<Puzzle> all = {
      {.name = "the last warp",
       .question = "The sum is right on most GPUs. What does the kernel rely on that CUDA does not promise?",
       .source = kPuzzleSources[0],
       .file = "tools/lab/puzzles/puzzle_1.cu",
       .judge = [](const Run& run) { return judge_sum(256, run); },
       .run =
           [](const Tensor& x, const Tensor& out) {
             launch(puzzle::LastWarp{x, out});
           }},
      {.name = "the wide tile",
       .question = "The result is right, and the tile is padded. Why is reading a column of it still slow?",
       .source = kPuzzleSources[1],
       .file = "tools/lab/puzzles/puzzle_2.cu",
       .judge = judge_transpose,
       .run =
           [](const Tensor& x, const Tensor& out) {
             launch(puzzle::WideTile{x, out});
           }},
      {.name = "two blocks",
       .question = "The sum is right nearly always. When is it not?",
       .source = kPuzzleSources[2],
       .file = "tools/lab/puzzles/puzzle_3.cu",
       .judge = [](const Run& run) { return judge_sum(512, run); },
       .run =
           [](const Tensor& x, const Tensor& out) {
             launch(puzzle::TwoBlocks{x, out});
           }},
  };
  return all;
}

std::string kernel_of(const Puzzle& puzzle) {
  const size_t begin = puzzle.source.find("/// "), end = puzzle.source.find("\n}  // namespace\n");
  const std::string_view before = puzzle.source.substr(0, begin);
  auto number = std::count(before.begin(), before.end(), '\n');
  std::istringstream lines{std::string(puzzle.source.substr(begin, end - begin))};
  std::string text;
  for (std::string line; std::getline(lines, line);) text += fmt::format("{:>3}  {}\n", ++number, line);
  return text;
}

}  // namespace haze

#include "haze/tools/lab/ladders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "haze/engine/ops.h"

namespace haze {
namespace {

/// The problem of a call of a ladder. Its result is the operand that it writes.
template <typename Call>
Problem problem_of(const Call& call, Tensor expected, double tolerance, double flops) {
  Problem problem{.run = [call] { launch(call); },
                  .expected = std::move(expected),
                  .tolerance = tolerance,
                  .flops = flops,
                  .bytes = detail::bytes_of(call)};
  call.each_operand([&](Use use, const char* name, const Tensor& x) {
    if (!x.defined()) return;
    problem.operands.push_back({name, x});
    if (use != Use::read) problem.result = x;
  });
  return problem;
}

/// Normally distributed: on a GPU, zeros would be faster.
Tensor numbers(const Shape& shape, uint64_t stream = 0) {
  Generator generator(1, stream);
  return normal(shape, generator);
}

Tensor on_gpu(const Tensor& x) {
  return to(x, Device::simt);
}

Problem transpose_problem(unsigned rung, int64_t size) {
  const Tensor x = numbers({size, size});
  const Tensor out({size, size}, x.dtype(), Device::simt);
  return problem_of(ladder::Transpose{rung, on_gpu(x), out}, contiguous(transpose(x)), 0, 0);
}

}  // namespace

const std::vector<Ladder>& ladders() {
  static const std::vector<Ladder> all = {
      {.name = "transpose",
       .what = "x [size, size] in rows, to its columns in rows; float32",
       .rungs = ladder::Transpose::kRungs,
       .size = 512,
       .step_size = 32,
       .problem = transpose_problem},
  };
  return all;
}

const Ladder& ladder_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Ladder& ladder : ladders()) {
    if (ladder.name == name) return ladder;
    names.push_back(ladder.name);
  }
  fail("there is no ladder '{}'; the ladders are {}", name, fmt::join(names, ", "));
}

unsigned rung_named(const Ladder& ladder, std::string_view name) {
  std::vector<std::string> names;
  for (unsigned rung = 0; rung < ladder.rungs.size(); ++rung) {
    if (ladder.rungs[rung].name == name || fmt::format("{}", rung + 1) == name) return rung;
    names.push_back(ladder.rungs[rung].name);
  }
  fail("the ladder {} has no rung '{}'; its rungs are {}", ladder.name, name, fmt::join(names, ", "));
}

}  // namespace haze

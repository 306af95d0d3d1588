#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "haze/engine/call.h"
#include "haze/engine/cuda/ladder/ladder.h"
#include "haze/tools/lab/gpu.h"

namespace haze {

/// A rung's operands, and the result that it has to find. They lie on a device that runs kernels for a GPU.
struct Problem {
  struct Operand {
    std::string name;
    Tensor tensor;
  };

  std::function<void()> run;
  std::vector<Operand> operands;  // the result among them
  Tensor result;
  Tensor expected;       // by the cpu
  double tolerance = 0;  // of an element, as a share of the largest one
  double flops = 0;      // floating-point operations; a multiply-add counts as two
  double bytes = 0;      // of the operands, each moved once
};

/// A ladder of engine/cuda/ladder/ladder.h, as the laboratory climbs it.
struct Ladder {
  /// One of NVIDIA's libraries for the same problem, which is timed beside the rungs. On Device::simt it is
  /// what stands in for the library.
  struct Peer {
    ladder::Rung rung;
    std::function<Problem(int64_t size, Device)> problem;
  };

  std::string name;
  std::string what;  // such as "x [size, size] -> x^T"
  std::span<const ladder::Rung> rungs;
  int64_t size, step_size;  // unless somebody says otherwise; step_size where one warp is followed
  int64_t multiple = 1;     // sizes are multiples of it
  std::function<Problem(unsigned rung, int64_t size, Device)> problem;
  std::function<Arithmetic(unsigned rung)> arithmetic = [](unsigned) { return Arithmetic::float32; };
  std::vector<Peer> peers = {};
};

/// All ladders. One more is one row here.
const std::vector<Ladder>& ladders();
/// Both throw Error, naming those there are, where there is none of that name. A rung also goes by its number
/// from 1.
const Ladder& ladder_named(std::string_view name);
unsigned rung_named(const Ladder& ladder, std::string_view name);

}  // namespace haze

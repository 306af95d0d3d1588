#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "haze/engine/tensor.h"

namespace haze {

/// The emulator's verdict on a puzzle's kernel.
struct PuzzleVerdict {
  bool solved = false;
  std::string report;  // sentences
};

/// A kernel with a fault that no wrong result has to show.
struct Puzzle {
  std::string name, question;
  std::string_view source;  // of its file
  std::string file;         // in the repository
  /// Runs a kernel that is to do what the puzzle's does, and looks at it.
  std::function<PuzzleVerdict(const std::function<void(const Tensor& x, const Tensor& out)>& run)> judge;
  std::function<void(const Tensor& x, const Tensor& out)> run;  // the puzzle's kernel
};

const std::vector<Puzzle>& puzzles();

/// The kernel, without what every file of kernels has around it. Lines have their numbers in the file.
std::string kernel_of(const Puzzle& puzzle);

}  // namespace haze

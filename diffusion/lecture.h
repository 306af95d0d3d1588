#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "haze/engine/generator.h"
#include "haze/engine/tensor.h"

/// The pages of the lecture whose formulas can be computed, with the functions that the models use.
namespace haze {

/// A request to a page.
struct LectureQuestion {
  std::vector<int> t;               // steps to show, each larger than the one before, in 0..steps
  std::string schedule = "linear";  // noise_schedule_names()
  int steps = 1000;                 // T
  Tensor x_0;                       // real [n, ...]: what is noised
  uint64_t seed = 1;
};

/// What it answers.
struct LectureAnswer {
  std::string text;  // lines, each with its end
  /// Of each t two tensors shaped as x_0: x_t one step at a time, and in one go. Empty without data.
  std::vector<Tensor> noised;
};

struct LecturePage {
  std::string title;    // of the page, as the lecture has it
  std::string name;     // of `haze lecture NAME`; empty: `command` shows it
  std::string command;  // that shows what the page says
  std::string shows;    // half a line
  /// Throws Error where the question is wrong. Empty where there is no name.
  std::function<LectureAnswer(const LectureQuestion&)> compute = {};
  /// The parts of LectureQuestion that `compute` reads, by their names there. One that reads x_0 answers with
  /// LectureAnswer::noised.
  std::vector<std::string> uses = {};

  bool reads(std::string_view part) const;
};

/// The pages in the lecture's order.
const std::vector<LecturePage>& lecture_pages();

/// The page of a name. Throws Error, with the names there are, on another.
const LecturePage& lecture_page(const std::string& name);

}  // namespace haze

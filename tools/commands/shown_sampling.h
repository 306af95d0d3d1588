#pragma once

#include <optional>
#include <span>
#include <string>

#include <CLI/CLI.hpp>

#include "haze/tools/run/saved_model.h"

namespace haze {

/// Options that `haze sample`, `haze infill` and `haze control` have in common.
struct SamplingOptions {
  std::optional<uint64_t> seed;
  bool trace = false, live = false;
  int64_t delay = 80;  // milliseconds
  std::string svg;

  /// Adds --seed, --trace, --live, --delay and --svg; returns --trace.
  CLI::Option* add_to(CLI::App& command);
  /// The seed that was given, or else a random one, the same at every call.
  uint64_t chosen_seed();
};

/// Samples, and the summary that stands at the end.
struct ShownSamples {
  Samples samples;
  std::string speed;      // "8 texts in 0.31 s: 26 texts/s, ..."
  std::string seed_used;  // how to repeat them; empty where a seed was given

  /// On standard error, after the samples. Throws std::system_error where these cannot be written.
  void say_summary() const;
};

/// Draws samples. Shows progress or, where that is asked for, how the first one appears: as it happens, and
/// afterwards on standard output or as a picture. Throws WrongUsage where it is to appear in place and
/// standard error is no terminal. Throws Interrupted at Ctrl-C.
ShownSamples draw_shown(const SavedModel& saved, std::span<const Request> requests, SamplingOptions& options);

}  // namespace haze

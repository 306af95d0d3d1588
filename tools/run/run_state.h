#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "haze/engine/generator.h"
#include "haze/tools/text/batch_stream.h"

namespace haze {

/// A sum of what was logged since the last line of metrics, so that the next line has its mean.
struct LogSum {
  std::string name;
  double sum = 0;
  int64_t count = 0;
};

/// The best evaluation so far.
struct BestEvaluation {
  double value = 0;
  int64_t step = 0;
};

/// What a run needs to go on besides weights, optimiser and settings: the file state.toml of a checkpoint.
struct RunState {
  Generator::State generator;
  BatchStream::State data;
  std::vector<LogSum> sums;
  std::optional<int64_t> metrics_rows;  // lines of metrics.jsonl; none: written by settings version 1
  bool evaluation_due = false;          // that of this step was broken off
  std::optional<BestEvaluation> best;
  /// The folder that relative paths of the settings begin in; empty where it is not known.
  std::string working_folder = {};
  std::vector<std::pair<std::string, std::string>> origins;  // of what the run stands on: name, fingerprint

  /// Throws Error where the run does not stand on it.
  const std::string& fingerprint(std::string_view name) const;
};

std::string print_state(const RunState& state);

/// Throws Error where something is missing or damaged.
RunState parse_state(const std::string& toml);

}  // namespace haze

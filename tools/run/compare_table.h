#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "haze/nn/settings.h"

namespace haze {

/// A column of a table: a measure of the rows' evaluations, or what a run cost (CompareRun).
struct CompareColumn {
  std::string measure;          // its name in a Report, such as "nats_per_token"
  std::string heading;          // by default the measure's name
  std::optional<int> decimals;  // by default the measure's own
  std::string where = {};       // in the table's file; empty where no file names the column
};

/// Options that the evaluations of all rows share.
struct CompareEvaluation {
  int64_t examples = 0;            // evenly spread over all; 0: all
  int passes = 8;                  // independent estimates, at least 2
  std::optional<int64_t> samples;  // to draw and measure; 0: none; by default as many as the task says
  /// A run with train.seed s is evaluated with the seed `seed` + s (evaluation_of): runs of one row share no
  /// random numbers, so that the standard error over seeds holds the noise of sampling and of the bound's
  /// draws. Rows share those of the same s.
  uint64_t seed = 1;
};

/// A row of a table: one model, trained once for each seed.
struct CompareRow {
  std::string name;
  std::string where;           // in the table's file: "table.toml:12"
  std::vector<int64_t> seeds;  // at least one
  Settings training;           // resolved; the runs have train.seed from `seeds`
  Settings evaluation;         // the same with what the row's evaluation sets
  std::filesystem::path data;  // examples to evaluate on; empty: the run's test part
};

/// A paper's table, as `haze compare` is asked for it.
struct CompareTable {
  std::string title;
  std::filesystem::path runs;          // folder of the runs' folders
  std::vector<CompareColumn> columns;  // empty: every measure that the reports have
  CompareEvaluation evaluation;
  std::vector<CompareRow> rows;  // at least one
};

/// Reads a table's file, and the configurations that it names; paths in it are relative to the working
/// folder, as they are in configurations. Throws Error in one sentence, with file and line, on a key that
/// there is not, on a file that is missing, and on settings that are wrong.
CompareTable read_compare_table(const std::filesystem::path& file);

/// The options of the evaluation of a run with this train.seed: those of all, with the run's own seed.
CompareEvaluation evaluation_of(const CompareTable& table, int64_t training_seed);

/// The name of a run's folder: "A small model" with seed 3 is in A-small-model-seed-3.
std::string run_name(const std::string& row, int64_t seed);

}  // namespace haze

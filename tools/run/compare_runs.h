#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "haze/tools/run/compare_table.h"
#include "haze/tools/run/progress.h"
#include "haze/tools/run/report.h"

namespace haze {

/// One run of a table: a row's model, trained from one seed. Rows that differ in nothing but evaluation, as
/// those that compare samplers do, share their runs.
struct CompareRun {
  size_t row = 0;  // of the table
  int64_t seed = 0;
  std::filesystem::path folder;
  int64_t step = 0;              // that the latest checkpoint has done; 0: there is none
  bool finished = false;         // all of its steps and their evaluations are done
  std::optional<Report> report;  // of the evaluation that the row asks for, where it was made
  /// Costs of an evaluated run: "parameters", "steps", "examples_seen" and "training_seconds". The seconds
  /// are wall-clock time with the evaluations in training. They are missing unless every session that trained
  /// the run was one of `haze compare` and ended in order.
  std::vector<Measure> costs;

  /// The measure of this name in the report or the costs; null where there is none.
  const Measure* find(std::string_view name) const;
};

/// The names of CompareRun::costs.
std::vector<std::string> cost_names();

/// Throws Error, with file and line, where a column's measure is none that a row's evaluation or costs can
/// hold. Losses have the names of a model's objectives, which are not known before there is one: a name that
/// begins with "loss" is taken as it is.
void check_columns(const CompareTable& table);

/// The runs of a table, row after row and in a row seed after seed, as they are on the disk; changes nothing.
/// Throws Error where the folder of one holds something else: a run of other settings, no run at all, or
/// damaged checkpoints alone. Settings of [sample] and
/// data.judge are no part of training, and may have changed.
std::vector<CompareRun> find_runs(const CompareTable& table);

/// Trains and evaluates what is missing, one run after the other; those that were broken off go on from their
/// checkpoint. Evaluations are kept in the run's folder. Throws Interrupted at Ctrl-C, after a checkpoint.
void complete_runs(const CompareTable& table, std::vector<CompareRun>& runs, const ProgressOutput& progress);

/// For people: a line a run with what complete_runs() would do.
std::string describe_plan(const CompareTable& table, const std::vector<CompareRun>& runs);

}  // namespace haze

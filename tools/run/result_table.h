#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "haze/tools/run/compare_runs.h"

namespace haze {

/// One measure of one row over its seeds.
struct ResultCell {
  std::vector<double> values;  // of each seed
  double mean = 0;
  /// One standard error of the mean. Several seeds have that over seeds: sample standard deviation / sqrt(n),
  /// which holds the noise of the estimates too. One seed has that of its own estimate, if there is one.
  std::optional<double> error;
  bool one_seed = false;  // the error is that of one seed's estimate
  int decimals = 4;       // that people are shown

  /// Whether people are shown an error, and it is that of one seed's estimate.
  bool is_marked() const { return one_seed && *error > 0; }
};

/// A row: its name, the number of its seeds, and a cell a column, none where the row lacks the measure.
struct ResultRow {
  std::string name;
  size_t seeds = 0;
  std::vector<std::optional<ResultCell>> cells;
};

/// A table of results, to be printed.
struct ResultTable {
  std::string title;
  std::vector<CompareColumn> columns;
  std::vector<ResultRow> rows;
};

/// The cell of a measure from that of each seed, of which there is at least one.
ResultCell result_cell(std::span<const Measure> seeds);

/// The results of runs that are all evaluated. A measure that one of a row's seeds lacks, the row lacks.
ResultTable result_table(const CompareTable& table, const std::vector<CompareRun>& runs);

/// For people: rows below one another, "mean +- standard error", "-" where a row lacks the measure, and what
/// the marks mean.
std::string result_text(const ResultTable& table);

/// A table of GitHub's Markdown, with the title above and the marks below.
std::string result_markdown(const ResultTable& table);

/// For programs: {"title", "columns": [{"measure", "heading"}], "rows": [{"name", "seeds", "measures":
/// {"<measure>": {"mean", "error", "error_of": "seeds" or "estimate", "values"}}}]} on one line. Unknown
/// errors are left out; a number that is not finite is null.
std::string result_json(const ResultTable& table);

/// An SVG figure, light or dark as the viewer is: a panel a column with a point a row and, as bars, two
/// standard errors. Throws Error where no row has a finite number.
std::string plot_result_svg(const ResultTable& table);

/// "3.1416 +- 0.0012", with `plus_minus` between the numbers; no error where there is none or it is 0.
std::string print_cell(const ResultCell& cell, std::string_view plus_minus);

}  // namespace haze

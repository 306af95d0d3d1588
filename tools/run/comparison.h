#pragma once

#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// One figure of ours beside a peer's, both measured in the same run.
struct Comparison {
  std::string name;
  double ours = 0;             // in `unit`
  std::optional<double> peer;  // likewise
  std::string unit;
  std::optional<double> share_of_peak;  // ours, of the limit measured on this machine
  std::string setting;                  // of the peer, where it has several

  /// ours / peer; NaN where there is no peer.
  double ratio() const { return peer ? ours / *peer : std::numeric_limits<double>::quiet_NaN(); }
};

/// Comparisons whose geometric mean says something.
struct ComparisonGroup {
  std::string title, peer;
  std::vector<Comparison> rows;
};

/// Of the ratios of the rows that have a peer; NaN where none has.
double geometric_mean_ratio(std::span<const Comparison> rows);

/// For people: a block a group, that of several rows with their geometric mean in the last line.
std::string comparison_table(std::span<const ComparisonGroup> groups);

/// For scripts: group, name, ours, peer, ratio, unit, share_of_peak and setting of each row, one a line. What
/// is not known is left out.
std::string comparison_json_lines(std::span<const ComparisonGroup> groups);

/// An SVG figure: a bar a row as long as its ratio (cut at 4), and a line where both are equal. Throws Error
/// where no row has a peer.
std::string plot_comparisons_svg(std::span<const ComparisonGroup> groups, std::string_view title);

}  // namespace haze

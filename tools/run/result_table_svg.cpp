#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/result_table.h"
#include "haze/tools/run/svg.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

// Pixels.
constexpr int kWidth = 760;
constexpr double kRight = kWidth - 190;  // of the panels; the numbers stand beside them
constexpr double kTop = 70;
constexpr double kRowHeight = 22;
constexpr double kHeadingHeight = 24;
constexpr double kAxisHeight = 40;
constexpr double kLetter = 7.2;  // width of one, about

constexpr int kLongestName = 36;  // columns that are shown of a row's name

constexpr std::string_view kStyle =
    ".heading{font-weight:600}\n"
    ".error{stroke:#0969da;stroke-width:1.6}\n"
    ".point{fill:#0969da;stroke:#fff;stroke-width:1.2}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".error{stroke:#58a6ff}\n"
    ".point{fill:#58a6ff;stroke:#0d1117}\n"
    "}\n";

struct Panel {
  double left, top, low, high;

  double x_of(double value) const { return left + (value - low) / (high - low) * (kRight - left); }
};

/// Twice the standard error; 0 where there is none.
double reach_of(const ResultCell& cell) {
  const double error = cell.error.value_or(0);
  return std::isfinite(error) ? 2 * error : 0;
}

bool is_shown(const std::optional<ResultCell>& cell) {
  return cell && std::isfinite(cell->mean);
}

bool has_numbers(const ResultTable& table, size_t column) {
  return std::any_of(table.rows.begin(), table.rows.end(),
                     [&](const ResultRow& row) { return is_shown(row.cells[column]); });
}

/// All means with their errors, and a little room around them.
Panel panel_of(const ResultTable& table, size_t column, double left, double top) {
  Panel panel{left, top, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const ResultRow& row : table.rows) {
    if (!is_shown(row.cells[column])) continue;
    const double mean = row.cells[column]->mean, reach = reach_of(*row.cells[column]);
    panel.low = std::min(panel.low, mean - reach);
    panel.high = std::max(panel.high, mean + reach);
  }
  const double scale = std::max(std::abs(panel.low), std::abs(panel.high));
  const double range = panel.high - panel.low;
  const double room = range > 1e-9 * scale ? 0.06 * range : scale > 0 ? 0.5 * scale : 1;
  panel.low -= room;
  panel.high += room;
  return panel;
}

std::string draw_point(const Panel& panel, const ResultCell& cell, double y) {
  std::string svg;
  const double reach = reach_of(cell);
  if (reach > 0) svg += svg_line("error", panel.x_of(cell.mean - reach), y, panel.x_of(cell.mean + reach), y);
  return svg + fmt::format("<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>\n",
                           panel.x_of(cell.mean), y);
}

std::string draw_panel(const ResultTable& table, size_t column, const Panel& panel) {
  const double top = panel.top + kHeadingHeight;
  const double bottom = top + kRowHeight * static_cast<double>(table.rows.size());
  std::string svg = svg_text("heading", panel.left, panel.top + 12, "start", table.columns[column].heading);
  for (const double tick : nice_ticks(panel.low, panel.high, 5)) {
    svg += svg_line("grid", panel.x_of(tick), top, panel.x_of(tick), bottom);
    svg += svg_text("tick", panel.x_of(tick), bottom + 18, "middle", fmt::format("{:g}", tick));
  }
  svg += svg_line("axis", panel.left, bottom, kRight, bottom);
  double y = top + kRowHeight / 2;
  for (const ResultRow& row : table.rows) {
    const std::optional<ResultCell>& cell = row.cells[column];
    svg += svg_text("tick", panel.left - 10, y + 4, "end", cut_to_width(row.name, kLongestName));
    if (is_shown(cell)) svg += draw_point(panel, *cell, y);
    const std::string number = is_shown(cell) ? print_cell(*cell, "±") + (cell->is_marked() ? "*" : "") : "-";
    svg += svg_text("tick", kRight + 14, y + 4, "start", number);
    y += kRowHeight;
  }
  return svg;
}

}  // namespace

std::string plot_result_svg(const ResultTable& table) {
  std::vector<size_t> columns;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (has_numbers(table, i)) columns.push_back(i);
  }
  if (columns.empty()) fail("there is nothing to plot: no row has a number in any column");
  int longest = 0;
  bool one_seed = false;
  for (const ResultRow& row : table.rows) {
    longest = std::max(longest, std::min(display_width(row.name), kLongestName));
    for (const auto& cell : row.cells) one_seed = one_seed || (cell && cell->is_marked());
  }
  const double left = 30 + kLetter * longest;
  const double height = kHeadingHeight + kRowHeight * static_cast<double>(table.rows.size()) + kAxisHeight;
  std::string svg = begin_svg(kWidth, static_cast<int>(kTop + height * static_cast<double>(columns.size())),
                              table.title, fmt::format("{}{}", kFigureStyle, kStyle));
  svg += svg_text("title", 20, 28, "start", table.title);
  svg += svg_text("tick", 20, 48, "start",
                  fmt::format("points: means over seeds; bars: two standard errors{}",
                              one_seed ? "; * one seed: of its own estimate" : ""));
  for (size_t i = 0; i < columns.size(); ++i) {
    const double top = kTop + height * static_cast<double>(i);
    svg += draw_panel(table, columns[i], panel_of(table, columns[i], left, top));
  }
  return svg + "</svg>\n";
}

}  // namespace haze

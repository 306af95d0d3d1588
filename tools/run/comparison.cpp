#include "haze/tools/run/comparison.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/svg.h"

namespace haze {
namespace {

// Pixels.
constexpr int kWidth = 760;
constexpr double kLeft = 300;
constexpr double kRight = kWidth - 60;
constexpr double kTop = 56;
constexpr double kRowHeight = 18;

constexpr double kLongest = 4;  // ratios beyond are cut, so that one of them does not shrink all others

constexpr std::string_view kStyle =
    ".ahead{fill:#0969da}\n"
    ".behind{fill:#bc4c00}\n"
    ".equal{stroke:#1f2328;stroke-dasharray:4 3}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".ahead{fill:#58a6ff}\n"
    ".behind{fill:#f0883e}\n"
    ".equal{stroke:#e6edf3}\n"
    "}\n";

std::string percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.0f}%", 100 * *share) : "";
}

std::string table_of(const ComparisonGroup& group) {
  size_t width = group.title.size();
  for (const Comparison& row : group.rows) width = std::max(width, row.name.size());
  std::string table = fmt::format("{:<{}}  {:>10}  {:>10}  {:>6}  {:<8}  {:>7}\n", group.title, width, "haze",
                                  group.peer, "ratio", "unit", "of peak");
  for (const Comparison& row : group.rows) {
    const std::string peer = row.peer ? fmt::format("{:.4g}", *row.peer) : "";
    const std::string ratio = row.peer ? fmt::format("{:.2f}", row.ratio()) : "";
    std::string line = fmt::format("{:<{}}  {:>10.4g}  {:>10}  {:>6}  {:<8}  {:>7}  {}", row.name, width,
                                   row.ours, peer, ratio, row.unit, percent(row.share_of_peak), row.setting);
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  const double mean = geometric_mean_ratio(group.rows);
  if (group.rows.size() < 2 || std::isnan(mean)) return table;
  return table + fmt::format("{:<{}}  {:>10}  {:>10}  {:>6.2f}\n", "geometric mean", width, "", "", mean);
}

struct Bar {
  std::string name;
  double ratio;
};

std::vector<Bar> bars_of(std::span<const ComparisonGroup> groups) {
  std::vector<Bar> bars;
  for (const ComparisonGroup& group : groups) {
    for (const Comparison& row : group.rows) {
      if (row.peer) bars.push_back({fmt::format("{} {}", group.title, row.name), row.ratio()});
    }
  }
  return bars;
}

}  // namespace

double geometric_mean_ratio(std::span<const Comparison> rows) {
  double sum = 0;
  int count = 0;
  for (const Comparison& row : rows) {
    if (!row.peer) continue;
    sum += std::log(row.ratio());
    ++count;
  }
  return count > 0 ? std::exp(sum / count) : std::numeric_limits<double>::quiet_NaN();
}

std::string comparison_table(std::span<const ComparisonGroup> groups) {
  std::string table;
  for (const ComparisonGroup& group : groups) {
    if (!table.empty()) table += "\n";
    table += table_of(group);
  }
  return table;
}

std::string comparison_json_lines(std::span<const ComparisonGroup> groups) {
  std::string lines;
  for (const ComparisonGroup& group : groups) {
    for (const Comparison& row : group.rows) {
      nlohmann::ordered_json json{{"group", group.title}, {"name", row.name}, {"ours", row.ours}};
      if (row.peer) {
        json["peer"] = *row.peer;
        json["ratio"] = row.ratio();
        json["peer_name"] = group.peer;
      }
      json["unit"] = row.unit;
      if (row.share_of_peak) json["share_of_peak"] = *row.share_of_peak;
      if (!row.setting.empty()) json["setting"] = row.setting;
      lines += json.dump() + "\n";
    }
  }
  return lines;
}

std::string plot_comparisons_svg(std::span<const ComparisonGroup> groups, std::string_view title) {
  const std::vector<Bar> bars = bars_of(groups);
  if (bars.empty()) fail("there is nothing to plot: no row has a peer");
  double longest = 1;
  for (const Bar& bar : bars) longest = std::clamp(bar.ratio, longest, kLongest);
  const double bottom = kTop + kRowHeight * static_cast<double>(bars.size());
  const auto x_of = [&](double ratio) { return kLeft + std::min(ratio / longest, 1.0) * (kRight - kLeft); };

  std::string svg =
      begin_svg(kWidth, static_cast<int>(bottom) + 40, title, fmt::format("{}{}", kFigureStyle, kStyle));
  svg += svg_text("title", 20, 28, "start", title);
  for (const double tick : nice_ticks(0, longest, 5)) {
    svg += svg_line("grid", x_of(tick), kTop, x_of(tick), bottom);
    svg += svg_text("tick", x_of(tick), bottom + 20, "middle", fmt::format("{:g}", tick));
  }
  double y = kTop;
  for (const Bar& bar : bars) {
    svg += svg_text("tick", kLeft - 8, y + 13, "end", bar.name);
    svg += fmt::format(
        "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\"/>\n",
        bar.ratio >= 1 ? "ahead" : "behind", kLeft, y + 3, x_of(bar.ratio) - kLeft, kRowHeight - 5);
    svg += svg_text("tick", x_of(bar.ratio) + 6, y + 13, "start", fmt::format("{:.2f}", bar.ratio));
    y += kRowHeight;
  }
  return svg + svg_line("equal", x_of(1), kTop, x_of(1), bottom) + "</svg>\n";
}

}  // namespace haze

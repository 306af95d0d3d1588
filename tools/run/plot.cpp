#include "haze/tools/run/plot.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/svg.h"

namespace haze {
namespace {

// Pixels.
constexpr int kWidth = 760;
constexpr int kHeight = 430;
constexpr double kLeft = 68;
constexpr double kRight = kWidth - 28;
constexpr double kTop = 74;
constexpr double kBottom = kHeight - 58;

constexpr std::size_t kMostPoints = 1200;  // of the raw loss; more cannot be told apart
constexpr std::size_t kMostSmoothPoints = 400;
constexpr double kSmoothingFraction = 0.02;  // of all steps

constexpr std::string_view kStyle =
    ".value{font-weight:600;fill:#bc4c00;stroke:#fff;stroke-width:4;stroke-linejoin:round;paint-order:stroke}"
    "\n"
    ".raw{fill:none;stroke:#b3d3f2;stroke-width:1;stroke-linejoin:round}\n"
    ".smooth{fill:none;stroke:#0969da;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
    ".bound{fill:none;stroke:#bc4c00;stroke-width:1.4}\n"
    ".point{fill:#bc4c00;stroke:#fff;stroke-width:1.2}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".value{fill:#f0883e;stroke:#0d1117}\n"
    ".raw{stroke:#1f4a80}\n"
    ".smooth{stroke:#58a6ff}\n"
    ".bound{stroke:#f0883e}\n"
    ".point{fill:#f0883e;stroke:#0d1117}\n"
    "}\n";

struct Series {
  std::vector<double> x;
  std::vector<double> y;
  std::vector<double> error;  // standard errors, 0 where unknown
};

Series series_of(const std::vector<MetricsRow>& rows, std::string_view name,
                 std::string_view error_name = "") {
  Series series;
  for (const MetricsRow& row : rows) {
    const double value = row.value(name).value_or(std::numeric_limits<double>::quiet_NaN());
    if (!std::isfinite(value)) continue;
    const double error = row.value(error_name).value_or(0.0);
    series.x.push_back(static_cast<double>(row.step));
    series.y.push_back(value);
    series.error.push_back(std::isfinite(error) ? error : 0.0);
  }
  return series;
}

/// The names in the rows that begin with `prefix` and are no errors, in the order of their first occurrence.
std::vector<std::string> names_with(const std::vector<MetricsRow>& rows, std::string_view prefix) {
  std::vector<std::string> names;
  for (const MetricsRow& row : rows) {
    for (const auto& [name, value] : row.values) {
      if (!name.starts_with(prefix) || name.ends_with(kError)) continue;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
  }
  return names;
}

/// The rows with today's names: runs of settings version 1 called an evaluation's measure, in nats per token,
/// and its error otherwise, and may have gone on since.
std::vector<MetricsRow> with_names_of_today(std::vector<MetricsRow> rows) {
  for (MetricsRow& row : rows) {
    for (auto& [name, value] : row.values) {
      if (name == "validation_bound") name = "validation_nats_per_token";
      if (name == "validation_error") name = "validation_nats_per_token_error";
    }
  }
  return rows;
}

/// What the axis says of "validation_nats_per_token": "nats per token".
std::string unit_of(const std::string& measure) {
  std::string unit = measure.substr(kValidation.size());
  std::replace(unit.begin(), unit.end(), '_', ' ');
  return unit;
}

/// The smallest and the greatest value of each of kMostPoints / 2 equal runs: what a line through all points
/// would cover.
Series thin(const Series& all) {
  if (all.x.size() <= kMostPoints) return all;
  constexpr std::size_t kRuns = kMostPoints / 2;
  Series kept;
  for (std::size_t run = 0; run < kRuns; ++run) {
    const auto first = all.y.begin() + static_cast<std::ptrdiff_t>(run * all.y.size() / kRuns);
    const auto last = all.y.begin() + static_cast<std::ptrdiff_t>((run + 1) * all.y.size() / kRuns);
    auto [low, high] = std::minmax_element(first, last);
    if (high < low) std::swap(low, high);
    for (const auto at : {low, high}) {
      kept.x.push_back(all.x[static_cast<std::size_t>(at - all.y.begin())]);
      kept.y.push_back(*at);
    }
  }
  return kept;
}

/// The loss smoothed, at some of its own steps.
Series smooth_loss(const Series& loss, double width) {
  const std::size_t count = std::min(loss.x.size(), kMostSmoothPoints);
  Series smoothed;
  for (std::size_t i = 0; i < count; ++i) {
    smoothed.x.push_back(loss.x[count == 1 ? 0 : i * (loss.x.size() - 1) / (count - 1)]);
  }
  smoothed.y = smooth(loss.x, loss.y, width, smoothed.x);
  return smoothed;
}

double quantile(std::vector<double> values, double fraction) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(std::llround(fraction * static_cast<double>(values.size() - 1)))];
}

/// 1, 2 or 5 times a power of ten, such that about `count` of them fill the range.
double nice_step(double range, int count) {
  const double rough = range / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double multiple : {1.0, 2.0, 5.0}) {
    if (rough <= multiple * power * (1 + 1e-9)) return multiple * power;
  }
  return 10 * power;
}

struct Range {
  double low, high;
};

/// The losses to show: all of the bound and the smoothed loss, but not the raw loss's rarest outliers, which
/// would press everything else together.
Range range_of_y(const Series& raw, const Series& smoothed, const Series& bound) {
  Range range{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  const auto include = [&](double value) {
    range = {std::min(range.low, value), std::max(range.high, value)};
  };
  if (!raw.y.empty()) {
    include(quantile(raw.y, 0.005));
    include(quantile(raw.y, 0.995));
  }
  for (const double value : smoothed.y) include(value);
  for (std::size_t i = 0; i < bound.y.size(); ++i) {
    include(bound.y[i] - 2 * bound.error[i]);
    include(bound.y[i] + 2 * bound.error[i]);
  }
  if (range.high - range.low < 1e-6 * std::max(1.0, std::abs(range.high)))
    return {range.low - 0.5, range.high + 0.5};
  const double step = nice_step(range.high - range.low, 6);
  return {std::floor(range.low / step) * step, std::ceil(range.high / step) * step};
}

/// From data to pixels.
struct Axes {
  Range x, y;

  double pixel_x(double value) const { return kLeft + (value - x.low) / (x.high - x.low) * (kRight - kLeft); }
  double pixel_y(double value) const {
    return kBottom - (value - y.low) / (y.high - y.low) * (kBottom - kTop);
  }
};

/// Digits in groups of three.
std::string format_step(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (int at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string draw_axes(const Axes& axes, std::string_view unit) {
  std::string svg;
  const std::vector<double> ticks = nice_ticks(axes.y.low, axes.y.high, 6);
  const double spacing = ticks.size() > 1 ? ticks[1] - ticks[0] : 1.0;
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(spacing) + 1e-9)));
  for (const double tick : ticks) {
    const double y = axes.pixel_y(tick);
    svg += svg_line("grid", kLeft, y, kRight, y);
    svg += svg_text("tick", kLeft - 10, y + 4, "end", fmt::format("{:.{}f}", tick, decimals));
  }
  for (const double tick : nice_ticks(axes.x.low, axes.x.high, 6)) {
    if (tick != std::floor(tick)) continue;
    const double x = axes.pixel_x(tick);
    svg += svg_line("axis", x, kBottom, x, kBottom + 5);
    svg += svg_text("tick", x, kBottom + 20, "middle", format_step(tick));
  }
  svg += svg_line("axis", kLeft, kBottom, kRight, kBottom);
  svg += svg_text("", (kLeft + kRight) / 2, kBottom + 42, "middle", "training step");
  svg +=
      fmt::format("<text x=\"20\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 20 {0:.1f})\">",
                  (kTop + kBottom) / 2);
  return svg + escape_xml(unit) + "</text>\n";
}

std::string polyline(std::string_view css_class, const Axes& axes, const std::vector<double>& x,
                     const std::vector<double>& y) {
  std::string points;
  for (std::size_t i = 0; i < x.size(); ++i) {
    points += fmt::format("{}{:.1f},{:.1f}", i == 0 ? "" : " ", axes.pixel_x(x[i]), axes.pixel_y(y[i]));
  }
  return fmt::format("<polyline class=\"{}\" points=\"{}\"/>\n", css_class, points);
}

std::string draw_bound(const Axes& axes, const Series& bound) {
  std::string svg = polyline("bound", axes, bound.x, bound.y);
  for (std::size_t i = 0; i < bound.x.size(); ++i) {
    const double x = axes.pixel_x(bound.x[i]);
    const double reach = 2 * bound.error[i];
    if (reach > 0)
      svg += svg_line("bound", x, axes.pixel_y(bound.y[i] - reach), x, axes.pixel_y(bound.y[i] + reach));
    svg += fmt::format("<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>\n", x,
                       axes.pixel_y(bound.y[i]));
  }
  svg += svg_text("value", axes.pixel_x(bound.x.back()), axes.pixel_y(bound.y.back()) - 12, "end",
                  fmt::format("{:.3f}", bound.y.back()));
  return svg;
}

/// The key in one row under the title, where no curve can run through it.
std::string draw_key(bool has_loss, bool has_bound, bool has_error) {
  constexpr double kY = 50;
  constexpr double kSample = 26;
  double x = kLeft;
  std::string svg;
  const auto entry = [&](const std::string& sample, std::string_view name) {
    svg += sample + svg_text("tick", x + kSample + 7, kY + 4, "start", name);
    x += kSample + 31 + 6.6 * static_cast<double>(name.size());
  };
  if (has_loss) {
    entry(svg_line("smooth", x, kY, x + kSample, kY), "training loss, smoothed");
    entry(svg_line("raw", x, kY, x + kSample, kY), "training loss");
  }
  if (has_bound) {
    std::string sample = svg_line("bound", x, kY, x + kSample, kY);
    if (has_error) sample += svg_line("bound", x + kSample / 2, kY - 9, x + kSample / 2, kY + 9);
    sample +=
        fmt::format("<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>\n", x + kSample / 2, kY);
    entry(sample, has_error ? "validation, 2 standard errors" : "validation");
  }
  return svg;
}

}  // namespace

std::string plot_run_svg(const std::vector<MetricsRow>& saved_rows, std::string_view title) {
  const std::vector<MetricsRow> rows = with_names_of_today(saved_rows);
  const std::vector<std::string> losses = names_with(rows, kTrainingLoss);
  const std::vector<std::string> evaluations = names_with(rows, kValidation);
  const Series loss = losses.empty() ? Series{} : series_of(rows, losses.front());
  const Series bound = evaluations.empty()
                           ? Series{}
                           : series_of(rows, evaluations.front(), evaluations.front() + std::string(kError));
  if (loss.x.empty() && bound.x.empty()) {
    fail("there is nothing to plot: no row of the metrics has a number for \"{}\" or \"{}...\"",
         kTrainingLoss, kValidation);
  }
  double last_step = 1;
  for (const Series* series : {&loss, &bound}) {
    if (!series->x.empty()) last_step = std::max(last_step, series->x.back());
  }
  const Series smoothed = smooth_loss(loss, kSmoothingFraction * last_step);
  const Axes axes{.x = {0, last_step}, .y = range_of_y(loss, smoothed, bound)};

  std::string svg = begin_svg(kWidth, kHeight, title, fmt::format("{}{}", kFigureStyle, kStyle));
  svg += svg_text("title", kLeft, 28, "start", title);
  const bool has_error =
      std::any_of(bound.error.begin(), bound.error.end(), [](double error) { return error > 0; });
  svg += draw_key(!loss.x.empty(), !bound.x.empty(), has_error);
  svg += draw_axes(axes, evaluations.empty() ? "loss" : unit_of(evaluations.front()));
  if (!loss.x.empty()) {
    svg += fmt::format(
        "<clipPath id=\"inside\"><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></clipPath>\n", kLeft,
        kTop, kRight - kLeft, kBottom - kTop);
    const Series raw = thin(loss);
    svg += "<g clip-path=\"url(#inside)\">\n" + polyline("raw", axes, raw.x, raw.y);
    svg += polyline("smooth", axes, smoothed.x, smoothed.y) + "</g>\n";
  }
  if (!bound.x.empty()) svg += draw_bound(axes, bound);
  return svg + "</svg>\n";
}

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(low < high)) fail("ticks need a range, and {} is not below {}", low, high);
  const double step = nice_step(high - low, count);
  std::vector<double> ticks;
  // A tick at the very end must not be lost to rounding.
  const auto last = static_cast<std::int64_t>(std::floor(high / step + 1e-9));
  for (auto i = static_cast<std::int64_t>(std::ceil(low / step - 1e-9)); i <= last; ++i) {
    ticks.push_back(static_cast<double>(i) * step);
  }
  return ticks;
}

std::vector<double> smooth(const std::vector<double>& x, const std::vector<double>& y, double width,
                           const std::vector<double>& at) {
  // Beyond three standard deviations a weight is below 1.2 % of the highest.
  const double reach = 3 * width;
  std::vector<double> smoothed;
  std::size_t first = 0;
  for (const double place : at) {
    while (first < x.size() && x[first] < place - reach) ++first;
    double weights = 0, sum = 0;
    for (std::size_t i = first; i < x.size() && x[i] <= place + reach; ++i) {
      const double distance = (x[i] - place) / width;
      const double weight = std::exp(-0.5 * distance * distance);
      weights += weight;
      sum += weight * y[i];
    }
    smoothed.push_back(sum / weights);
  }
  return smoothed;
}

}  // namespace haze

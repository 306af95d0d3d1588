#include "haze/tools/run/roofline.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <fmt/format.h>

#include "haze/engine/error.h"
#include "haze/tools/run/svg.h"

namespace haze {
namespace {

// Pixels.
constexpr int kWidth = 760;
constexpr int kHeight = 480;
constexpr double kLeft = 68;
constexpr double kRight = kWidth - 28;
constexpr double kTop = 56;
constexpr double kBottom = kHeight - 58;

constexpr std::string_view kStyle =
    ".roof{fill:none;stroke:#59636e;stroke-width:1.4}\n"
    ".point{fill:#0969da;stroke:#fff;stroke-width:1}\n"
    "@media (prefers-color-scheme:dark){\n"
    ".roof{stroke:#9198a1}\n"
    ".point{fill:#58a6ff;stroke:#0d1117}\n"
    "}\n";

/// Whole powers of ten around some values, as exponents.
struct Decades {
  double low = 1e300, high = -1e300;

  void include(double value) {
    low = std::min(low, std::floor(std::log10(value)));
    high = std::max(high, std::ceil(std::log10(value)));
  }
  /// Where a value lies between the ends: 0 to 1.
  double place(double value) const { return (std::log10(value) - low) / (high - low); }
};

struct LogAxes {
  Decades x, y;

  double pixel_x(double value) const { return kLeft + x.place(value) * (kRight - kLeft); }
  double pixel_y(double value) const { return kBottom - y.place(value) * (kBottom - kTop); }
};

LogAxes axes_of(double peak_gflops, std::span<const Roof> roofs, std::span<const RooflinePoint> points) {
  LogAxes axes;
  for (const RooflinePoint& point : points) {
    axes.x.include(point.intensity);
    axes.y.include(point.gflops);
  }
  for (const Roof& roof : roofs) axes.x.include(peak_gflops / roof.gbytes);
  axes.y.include(peak_gflops);
  return axes;
}

std::string draw_axes(const LogAxes& axes) {
  std::string svg;
  for (double decade = axes.x.low; decade <= axes.x.high; ++decade) {
    const double value = std::pow(10.0, decade), x = axes.pixel_x(value);
    svg += svg_line("grid", x, kTop, x, kBottom);
    svg += svg_text("tick", x, kBottom + 20, "middle", fmt::format("{:g}", value));
  }
  for (double decade = axes.y.low; decade <= axes.y.high; ++decade) {
    const double value = std::pow(10.0, decade), y = axes.pixel_y(value);
    svg += svg_line("grid", kLeft, y, kRight, y);
    svg += svg_text("tick", kLeft - 10, y + 4, "end", fmt::format("{:g}", value));
  }
  svg += svg_text("", (kLeft + kRight) / 2, kBottom + 42, "middle", "operations a byte");
  svg +=
      fmt::format("<text x=\"20\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 20 {0:.1f})\">",
                  (kTop + kBottom) / 2);
  return svg + "GFLOP/s</text>\n";
}

/// A slope of one, from where it enters the figure up to the peak, with its name along it.
std::string draw_roof(const LogAxes& axes, double peak_gflops, const Roof& roof) {
  const double left = std::max(std::pow(10.0, axes.x.low), std::pow(10.0, axes.y.low) / roof.gbytes);
  const double ridge = peak_gflops / roof.gbytes;
  const double x = axes.pixel_x(left), y = axes.pixel_y(left * roof.gbytes);
  const double end_x = axes.pixel_x(ridge), end_y = axes.pixel_y(peak_gflops);
  const double degrees = std::atan2(end_y - y, end_x - x) * 180 / std::numbers::pi;
  return svg_line("roof", x, y, end_x, end_y) + fmt::format(
                                                    "<text class=\"tick\" x=\"{0:.1f}\" y=\"{1:.1f}\" "
                                                    "dx=\"12\" dy=\"-6\" transform=\"rotate({2:.1f} "
                                                    "{0:.1f} {1:.1f})\">{3}: {4:.0f} GB/s</text>\n",
                                                    x, y, degrees, escape_xml(roof.name), roof.gbytes);
}

std::string draw_point(const LogAxes& axes, const RooflinePoint& point) {
  return fmt::format(
      "<circle class=\"point\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4.5\"><title>{}: {:.4g} GFLOP/s at {:.3g} "
      "operations a byte</title></circle>\n",
      axes.pixel_x(point.intensity), axes.pixel_y(point.gflops), escape_xml(point.name), point.gflops,
      point.intensity);
}

}  // namespace

double roofline(double peak_gflops, const Roof& roof, double intensity) {
  return std::min(peak_gflops, intensity * roof.gbytes);
}

std::string number_of_threads(int threads) {
  return fmt::format("{} thread{}", threads, threads == 1 ? "" : "s");
}

std::string plot_roofline_svg(double peak_gflops, std::span<const Roof> roofs,
                              std::span<const RooflinePoint> points, std::string_view title) {
  if (roofs.empty() || points.empty()) fail("a roofline needs at least one roof and one kernel");
  const LogAxes axes = axes_of(peak_gflops, roofs, points);
  std::string svg = begin_svg(kWidth, kHeight, title, fmt::format("{}{}", kFigureStyle, kStyle));
  svg += svg_text("title", kLeft, 28, "start", title);
  svg += draw_axes(axes);
  double widest = 0;
  for (const Roof& roof : roofs) {
    svg += draw_roof(axes, peak_gflops, roof);
    widest = std::max(widest, roof.gbytes);
  }
  svg += svg_line("roof", axes.pixel_x(peak_gflops / widest), axes.pixel_y(peak_gflops), kRight,
                  axes.pixel_y(peak_gflops));
  svg += svg_text("tick", kRight - 6, axes.pixel_y(peak_gflops) - 8, "end",
                  fmt::format("multiply-adds: {:.0f} GFLOP/s", peak_gflops));
  for (const RooflinePoint& point : points) svg += draw_point(axes, point);
  return svg + "</svg>\n";
}

}  // namespace haze

#include "haze/tools/run/plot.h"

#include <cmath>
#include <limits>
#include <random>
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "haze/engine/error.h"

using haze::MetricsRow;
using haze::nice_ticks;

namespace {

std::vector<MetricsRow> run_of(int steps, int log_every) {
  std::mt19937 random(3);
  std::normal_distribution<double> noise(0.0, 0.2);
  std::vector<MetricsRow> rows;
  for (int step = log_every; step <= steps; step += log_every) {
    const double loss = 2.0 + 4.5 * std::exp(-step / (0.08 * steps));
    rows.push_back({step, {{"loss", loss + noise(random)}}});
    if (step % (steps / 4) == 0)
      rows.push_back({step, {{"validation_bound", loss}, {"validation_error", 0.05}}});
  }
  return rows;
}

/// Every coordinate pair of a polyline of one class.
std::vector<std::pair<double, double>> points_of(const std::string& svg, const std::string& css_class) {
  const std::string opening = "<polyline class=\"" + css_class + "\" points=\"";
  const auto begin = svg.find(opening);
  REQUIRE(begin != std::string::npos);
  const std::string list =
      svg.substr(begin + opening.size(), svg.find('"', begin + opening.size()) - begin - opening.size());
  std::istringstream numbers(list);
  std::vector<std::pair<double, double>> points;
  char comma = 0;
  for (double x = 0, y = 0; numbers >> x >> comma >> y;) points.emplace_back(x, y);
  return points;
}

}  // namespace

TEST_CASE("ticks are round numbers within the range") {
  CHECK(nice_ticks(0, 2000, 5) == std::vector<double>{0, 500, 1000, 1500, 2000});
  CHECK(nice_ticks(1.2, 3.1, 4) == std::vector<double>{1.5, 2, 2.5, 3});
  const auto tenths = nice_ticks(0, 0.3, 3);
  REQUIRE(tenths.size() == 4);
  CHECK(tenths[3] == doctest::Approx(0.3));
  CHECK(nice_ticks(-1, 1, 2) == std::vector<double>{-1, 0, 1});
  CHECK_THROWS_AS(nice_ticks(1, 1, 5), haze::Error);
}

TEST_CASE("smoothing keeps a constant and takes the noise out of a line") {
  std::vector<double> x, constant, noisy;
  std::mt19937 random(1);
  std::normal_distribution<double> noise(0.0, 1.0);
  for (int i = 0; i < 1000; ++i) {
    x.push_back(i);
    constant.push_back(2.5);
    noisy.push_back(0.01 * i + noise(random));
  }
  for (const double value : haze::smooth(x, constant, 20, x)) CHECK(value == doctest::Approx(2.5));
  const auto smoothed = haze::smooth(x, noisy, 20, x);
  // The mean of Gaussian weights of width 20 has a standard deviation of (2 sqrt(pi) 20)^-1/2 = 0.12; 5 of
  // them miss once in 10^6 points.
  for (std::size_t i = 100; i < 900; ++i) CHECK(std::abs(smoothed[i] - 0.01 * static_cast<double>(i)) < 0.6);
}

TEST_CASE("the plot of a run has its curves inside the axes, axis labels with units, ticks and a key") {
  const std::string svg = haze::plot_run_svg(run_of(2000, 10), "E2E & more");
  for (const std::string part : {"nats per token", "training step", "training loss, smoothed",
                                 "validation, 2 standard errors", "E2E &amp; more", ">2,000<", ">1,000<"}) {
    CAPTURE(part);
    CHECK(svg.find(part) != std::string::npos);
  }
  CHECK(points_of(svg, "raw").size() == 200);
  CHECK(points_of(svg, "bound").size() == 4);
  for (const auto& [x, y] : points_of(svg, "smooth")) {
    CHECK(x >= 68);
    CHECK(x <= 732);
    CHECK(y >= 74);
    CHECK(y <= 372);
  }
  CHECK(points_of(svg, "smooth").front().second <
        points_of(svg, "smooth").back().second);  // y of pixels grows downwards
}

TEST_CASE("a long run is thinned without losing its extremes") {
  std::vector<MetricsRow> rows;
  for (int step = 1; step <= 100'000; ++step)
    rows.push_back({step, {{"loss", step == 50'000 ? 3.0 : 2.0 + step % 2}}});
  rows[70'000].values[0].second = 1.0;
  const auto points = points_of(haze::plot_run_svg(rows, "long"), "raw");
  CHECK(points.size() <= 1200);
  double lowest = 0, highest = 1e9;
  for (const auto& [x, y] : points) {
    lowest = std::max(lowest, y);
    highest = std::min(highest, y);
  }
  // The one loss of 1.0 is an outlier, drawn below the axis; the losses of 2 and 3 are on the axes' ends.
  CHECK(lowest == doctest::Approx(372 + 298));
  CHECK(highest == doctest::Approx(74));
}

TEST_CASE("a plot takes a single row, one curve alone and losses that are not numbers") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::string& svg : {haze::plot_run_svg({{1, {{"loss", 2.0}}}}, "one"),
                                 haze::plot_run_svg({{5, {{"validation_bound", 2.0}}}}, "bound"),
                                 haze::plot_run_svg({{1, {{"loss", nan}}}, {2, {{"loss", 3.0}}}}, "nan"),
                                 haze::plot_run_svg({{0, {{"loss", 0.0}}}}, "zero")}) {
    CHECK(svg.find("</svg>") != std::string::npos);
    CHECK(svg.find("nan,") == std::string::npos);
    CHECK(svg.find("\"nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
  }
  CHECK_THROWS_WITH_AS(haze::plot_run_svg({{1, {{"loss", nan}}}}, "x"),
                       "there is nothing to plot: no row of the metrics has a number for \"loss\" or "
                       "\"validation_...\"",
                       haze::Error);
}

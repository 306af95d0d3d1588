#include "haze/tools/run/comparison.h"

#include <cmath>
#include <sstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"

using haze::Comparison;
using haze::ComparisonGroup;

namespace {

Comparison row(const std::string& name, double ours, std::optional<double> peer) {
  return {.name = name, .ours = ours, .peer = peer, .unit = "GB/s"};
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

}  // namespace

TEST_CASE("the geometric mean of ratios is the root of their product, over rows that have a peer") {
  const std::vector<Comparison> rows{row("a", 8, 2), row("b", 1, 1), row("c", 5, {}), row("d", 1, 2)};
  CHECK(haze::geometric_mean_ratio(rows) == doctest::Approx(std::cbrt(4.0 * 1.0 * 0.5)));
  CHECK(std::isnan(haze::geometric_mean_ratio(std::vector<Comparison>{row("c", 5, {})})));
}

TEST_CASE("a comparison in JSON is an object a row, without what is not known") {
  Comparison measured = row("add", 3, 4.0);
  measured.share_of_peak = 0.75;
  const std::vector<ComparisonGroup> groups{{"memory", "copy", {measured, row("alone", 2, {})}}};
  std::istringstream lines(haze::comparison_json_lines(groups));
  std::string line;
  REQUIRE(std::getline(lines, line));
  const auto first = nlohmann::json::parse(line);
  CHECK(first == nlohmann::json{{"group", "memory"},
                                {"name", "add"},
                                {"ours", 3.0},
                                {"peer", 4.0},
                                {"ratio", 0.75},
                                {"peer_name", "copy"},
                                {"unit", "GB/s"},
                                {"share_of_peak", 0.75}});
  REQUIRE(std::getline(lines, line));
  CHECK(nlohmann::json::parse(line) ==
        nlohmann::json{{"group", "memory"}, {"name", "alone"}, {"ours", 2.0}, {"unit", "GB/s"}});
  CHECK(!std::getline(lines, line));
}

TEST_CASE("the table of a comparison ends each group of several rows with its mean, where there is one") {
  const std::vector<ComparisonGroup> groups{{"memory", "copy", {row("add", 3, 4.0), row("exp", 6, 4.0)}},
                                            {"single", "copy", {row("gelu", 2, 8.0)}},
                                            {"alone", "PyTorch", {row("step", 2, {}), row("other", 2, {})}}};
  const std::string table = haze::comparison_table(groups);
  CHECK(count_of(table, "geometric mean") == 1);
  CHECK(count_of(table, "1.06") == 1);  // the root of 0.75 and 1.5
  CHECK(count_of(table, "0.25") == 1);
  CHECK(table.find("nan") == std::string::npos);
}

TEST_CASE("the figure of a comparison has a bar for each row with a peer, as long as its ratio") {
  const std::vector<ComparisonGroup> groups{
      {"memory", "copy", {row("half", 1, 2.0), row("double", 4, 2.0), row("alone", 5, {})}}};
  const std::string svg = haze::plot_comparisons_svg(groups, "title");
  CHECK(count_of(svg, "<rect class=\"behind\"") == 1);
  CHECK(count_of(svg, "<rect class=\"ahead\"") == 1);
  // The axis goes from 0 at pixel 300 to the largest ratio at pixel 700.
  CHECK(svg.find("width=\"100.0\"") != std::string::npos);
  CHECK(svg.find("width=\"400.0\"") != std::string::npos);
  const std::vector<ComparisonGroup> beyond{
      {"memory", "copy", {row("equal", 1, 1.0), row("far", 1000, 1.0)}}};
  const std::string cut = haze::plot_comparisons_svg(beyond, "title");
  CHECK(cut.find("width=\"100.0\"") != std::string::npos);
  CHECK(cut.find("width=\"400.0\"") != std::string::npos);
  CHECK(cut.find(">1000.00<") != std::string::npos);
  CHECK_THROWS_AS(haze::plot_comparisons_svg(std::vector<ComparisonGroup>{}, "title"), haze::Error);
}

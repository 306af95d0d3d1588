#include <cmath>
#include <limits>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "haze/tools/run/result_table.h"

#include "error_of.h"

using namespace haze;
using haze::testing::error_of;

namespace {

Measure measure(double value, std::optional<double> error = {}, int decimals = 4) {
  return {"perplexity", "perplexity", value, error, "", decimals};
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// Three rows: two seeds, one seed with an error of its own, and none of the second measure.
ResultTable small_table() {
  ResultTable table{"A | title", {{"nats_per_token", "nats", {}}, {"perplexity", "PPL", {}}}, {}};
  const ResultCell two = result_cell(std::vector<Measure>{measure(1), measure(3)});
  const ResultCell one = result_cell(std::vector<Measure>{measure(2.5, 0.25, 2)});
  const ResultCell bare = result_cell(std::vector<Measure>{measure(7, {}, 0)});
  table.rows = {{"a & b", 2, {two, two}}, {"single", 1, {one, bare}}, {"lacking", 1, {bare, {}}}};
  return table;
}

}  // namespace

TEST_CASE("a cell has the mean and the standard error over seeds, whatever the errors of the estimates") {
  // The closed form for 1, 2, 3, 4: mean 5/2, variance 5/3, over four seeds.
  const ResultCell cell =
      result_cell(std::vector<Measure>{measure(1, 9.0), measure(2, 9.0), measure(3, 9.0), measure(4, 9.0)});
  CHECK(cell.mean == doctest::Approx(2.5).epsilon(1e-15));
  CHECK(*cell.error == doctest::Approx(std::sqrt(5.0 / 12.0)).epsilon(1e-15));
  CHECK(!cell.one_seed);
  CHECK(cell.values == std::vector<double>{1, 2, 3, 4});
  // Of two seeds the standard error is half their distance.
  const ResultCell two = result_cell(std::vector<Measure>{measure(0.1), measure(0.7)});
  CHECK(*two.error == doctest::Approx(0.3).epsilon(1e-14));
}

TEST_CASE("a cell of seeds that agree has exactly their value and the error 0") {
  const ResultCell cell = result_cell(std::vector<Measure>(3, measure(0.1)));
  CHECK(cell.mean == 0.1);
  CHECK(*cell.error == 0);
  CHECK(print_cell(cell, "+-") == "0.1000");
}

TEST_CASE("a cell of one seed has the error of its own estimate, where there is one") {
  const ResultCell estimated = result_cell(std::vector<Measure>{measure(2.5, 0.25, 2)});
  CHECK(estimated.mean == 2.5);
  CHECK(estimated.error == 0.25);
  CHECK(estimated.one_seed);
  CHECK(print_cell(estimated, "+-") == "2.50 +- 0.25");
  const ResultCell exact = result_cell(std::vector<Measure>{measure(7, {}, 0)});
  CHECK(!exact.error);
  CHECK(!exact.one_seed);
  CHECK(print_cell(exact, "+-") == "7");
  CHECK(error_of([] { result_cell({}); }) == "a cell of a table needs at least one seed");
}

TEST_CASE("a table as text lines its columns up and explains its marks") {
  CHECK(result_text(small_table()) ==
        "A | title\n"
        "         seeds              nats               PPL\n"
        "a & b        2  2.0000 +- 1.0000  2.0000 +- 1.0000\n"
        "single       1     2.50 +- 0.25*                 7\n"
        "lacking      1                 7                 -\n"
        "mean +- standard error over seeds; * one seed: standard error of its own estimate; - not "
        "measured\n");
  ResultTable plain = small_table();
  plain.rows = {{"single", 1, {plain.rows[2].cells[0], plain.rows[2].cells[0]}}};
  CHECK(result_text(plain) == "A | title\n        seeds  nats  PPL\nsingle      1     7    7\n");
}

TEST_CASE("columns line up where names are in letters of two columns or several bytes") {
  ResultTable table = small_table();
  table.rows = {{"gr\u00f6\u00dfer", 1, {{}, {}}}, {"\u5927", 1, {{}, {}}}};
  CHECK(result_text(table) ==
        "A | title\n        seeds  nats  PPL\ngr\u00f6\u00dfer      1     -    -\n\u5927          1     -    "
        "-\n- not measured\n");
}

TEST_CASE("a table in Markdown escapes what would end a cell or turn letters") {
  CHECK(result_markdown(small_table()) ==
        "**A \\| title**\n\n"
        "|  | seeds | nats | PPL |\n"
        "|:---|---:|---:|---:|\n"
        "| a & b | 2 | 2.0000 ± 1.0000 | 2.0000 ± 1.0000 |\n"
        "| single | 1 | 2.50 ± 0.25\\* | 7 |\n"
        "| lacking | 1 | 7 | - |\n"
        "\nmean ± standard error over seeds; \\* one seed: standard error of its own estimate; - not "
        "measured\n");
}

TEST_CASE("a table in JSON has the numbers in full and leaves out what is not known") {
  ResultTable table = small_table();
  table.rows[2].cells[0] = result_cell(std::vector<Measure>{measure(std::nan(""))});
  const auto json = nlohmann::json::parse(result_json(table));
  CHECK(json["title"] == "A | title");
  CHECK(json["columns"][1] == nlohmann::json{{"measure", "perplexity"}, {"heading", "PPL"}});
  CHECK(json["rows"][0] ==
        nlohmann::json{{"name", "a & b"},
                       {"seeds", 2},
                       {"measures",
                        {{"nats_per_token",
                          {{"mean", 2.0}, {"error", 1.0}, {"error_of", "seeds"}, {"values", {1.0, 3.0}}}},
                         {"perplexity",
                          {{"mean", 2.0}, {"error", 1.0}, {"error_of", "seeds"}, {"values", {1.0, 3.0}}}}}}});
  CHECK(json["rows"][1]["measures"]["nats_per_token"] ==
        nlohmann::json{{"mean", 2.5}, {"error", 0.25}, {"error_of", "estimate"}, {"values", {2.5}}});
  CHECK(!json["rows"][2]["measures"].contains("perplexity"));
  CHECK(json["rows"][2]["measures"]["nats_per_token"]["mean"].is_null());
}

TEST_CASE("the figure of a table has a point for every number and bars of two standard errors") {
  const std::string svg = plot_result_svg(small_table());
  CHECK(count_of(svg, "class=\"point\"") == 5);
  CHECK(count_of(svg, "class=\"error\"") == 3);
  CHECK(count_of(svg, "class=\"heading\"") == 2);
  CHECK(count_of(svg, ">a &amp; b<") == 2);
  CHECK(count_of(svg, ">-<") == 1);
  CHECK(count_of(svg, ">2.50 ± 0.25*<") == 1);
  CHECK(svg.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(svg.ends_with("</svg>\n"));
}

TEST_CASE("the bar of the figure reaches from mean - 2 errors to mean + 2 errors on the panel's axis") {
  ResultTable table{"t", {{"perplexity", "PPL", {}}}, {}};
  table.rows = {{"a", 2, {result_cell(std::vector<Measure>{measure(9), measure(11)})}}};
  // From 8 to 12, with 6 % of room: the panel is from pixel 37.2 (one letter) to 570.
  const double left = 37.2, width = 570 - left, room = 0.06 / 1.12;
  const std::string expected = fmt::format("x1=\"{:.1f}\" y1=\"105.0\" x2=\"{:.1f}\" y2=\"105.0\"",
                                           left + room * width, 570 - room * width);
  CHECK_MESSAGE(plot_result_svg(table).find(expected) != std::string::npos, expected);
}

TEST_CASE("a figure leaves out the columns without a finite number and refuses a table without any") {
  ResultTable table = small_table();
  table.rows = {{"a", 1, {result_cell(std::vector<Measure>{measure(0)}), {}}}};
  const std::string svg = plot_result_svg(table);
  CHECK(count_of(svg, "class=\"heading\"") == 1);
  CHECK(svg.find("nan") == std::string::npos);
  table.rows = {{"a", 1, {result_cell(std::vector<Measure>{measure(std::nan(""))}), {}}}};
  CHECK(error_of([&] { plot_result_svg(table); }) ==
        "there is nothing to plot: no row has a number in any column");
}

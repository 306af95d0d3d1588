#include "haze/tools/run/result_table.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

constexpr const char* kMark = "*";

/// Every measure of the evaluations, in the order in which they first come.
std::vector<CompareColumn> all_columns(const std::vector<CompareRun>& runs) {
  std::vector<CompareColumn> columns;
  for (const CompareRun& run : runs) {
    for (const Measure& measure : run.report->measures) {
      const auto is_it = [&](const CompareColumn& column) { return column.measure == measure.name; };
      if (std::none_of(columns.begin(), columns.end(), is_it))
        columns.push_back({measure.name, measure.name, {}});
    }
  }
  return columns;
}

std::optional<ResultCell> cell_of(const CompareColumn& column, const std::vector<CompareRun>& runs,
                                  size_t row) {
  std::vector<Measure> seeds;
  for (const CompareRun& run : runs) {
    if (run.row != row) continue;
    const Measure* measure = run.find(column.measure);
    if (!measure) return {};
    seeds.push_back(*measure);
  }
  ResultCell cell = result_cell(seeds);
  if (column.decimals) cell.decimals = *column.decimals;
  return cell;
}

/// The table as texts: a line of headings, then one a row.
std::vector<std::vector<std::string>> texts_of(const ResultTable& table, std::string_view plus_minus,
                                               std::string_view mark) {
  std::vector<std::vector<std::string>> lines(1, {"", "seeds"});
  for (const CompareColumn& column : table.columns) lines.front().push_back(column.heading);
  for (const ResultRow& row : table.rows) {
    std::vector<std::string>& line = lines.emplace_back();
    line = {row.name, fmt::format("{}", row.seeds)};
    for (const std::optional<ResultCell>& cell : row.cells) {
      if (!cell) {
        line.emplace_back("-");
      } else {
        line.push_back(print_cell(*cell, plus_minus) + (cell->is_marked() ? std::string(mark) : ""));
      }
    }
  }
  return lines;
}

/// What the numbers and marks of a table mean, in a line.
std::string legend(const ResultTable& table, std::string_view plus_minus, std::string_view mark) {
  bool several = false, one = false, lacking = false;
  for (const ResultRow& row : table.rows) {
    for (const std::optional<ResultCell>& cell : row.cells) {
      several = several || (cell && cell->values.size() > 1 && *cell->error > 0);
      one = one || (cell && cell->is_marked());
      lacking = lacking || !cell;
    }
  }
  std::vector<std::string> parts;
  if (several) parts.push_back(fmt::format("mean {} standard error over seeds", plus_minus));
  if (one) parts.push_back(fmt::format("{} one seed: standard error of its own estimate", mark));
  if (lacking) parts.emplace_back("- not measured");
  return fmt::format("{}", fmt::join(parts, "; "));
}

std::string escape_markdown(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '*' || c == '_' || c == '\\' || c == '`' || c == '<') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string padded(const std::string& text, int width, bool left) {
  const std::string space(static_cast<size_t>(std::max(0, width - display_width(text))), ' ');
  return left ? text + space : space + text;
}

}  // namespace

ResultCell result_cell(std::span<const Measure> seeds) {
  if (seeds.empty()) fail("a cell of a table needs at least one seed");
  ResultCell cell;
  cell.decimals = seeds.front().decimals;
  const auto count = static_cast<double>(seeds.size());
  for (const Measure& measure : seeds) {
    cell.values.push_back(measure.value);
    cell.mean += measure.value / count;
  }
  if (seeds.size() == 1) {
    cell.error = seeds.front().error;
    cell.one_seed = cell.error.has_value();
    return cell;
  }
  // The mean of equal numbers can be an ulp beside them, which would be taken for noise.
  if (std::adjacent_find(cell.values.begin(), cell.values.end(), std::not_equal_to<>()) == cell.values.end())
    cell.mean = cell.values.front();
  double squares = 0;
  for (const double value : cell.values) squares += (value - cell.mean) * (value - cell.mean);
  cell.error = std::sqrt(squares / (count - 1) / count);
  return cell;
}

ResultTable result_table(const CompareTable& table, const std::vector<CompareRun>& runs) {
  for (const CompareRun& run : runs) {
    if (!run.report) fail("{}: the run is not evaluated", run.folder.string());
  }
  ResultTable result{table.title, table.columns.empty() ? all_columns(runs) : table.columns, {}};
  for (size_t row = 0; row < table.rows.size(); ++row) {
    result.rows.push_back({table.rows[row].name, table.rows[row].seeds.size(), {}});
    for (const CompareColumn& column : result.columns)
      result.rows.back().cells.push_back(cell_of(column, runs, row));
  }
  return result;
}

std::string print_cell(const ResultCell& cell, std::string_view plus_minus) {
  const std::string mean = fmt::format("{:.{}f}", cell.mean, cell.decimals);
  if (cell.error.value_or(0) == 0) return mean;
  return fmt::format("{} {} {:.{}f}", mean, plus_minus, *cell.error, cell.decimals);
}

std::string result_text(const ResultTable& table) {
  const std::vector<std::vector<std::string>> lines = texts_of(table, "+-", kMark);
  std::vector<int> widths(lines.front().size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], display_width(line[i]));
  }
  std::string text = table.title + "\n";
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i)
      text += fmt::format("{}{}", i == 0 ? "" : "  ", padded(line[i], widths[i], i == 0));
    text += "\n";
  }
  const std::string meaning = legend(table, "+-", kMark);
  return meaning.empty() ? text : text + meaning + "\n";
}

std::string result_markdown(const ResultTable& table) {
  constexpr const char* kEscapedMark = "\\*";
  std::vector<std::vector<std::string>> lines = texts_of(table, "±", "");
  std::string text = fmt::format("**{}**\n\n", escape_markdown(table.title));
  for (size_t i = 0; i < lines.size(); ++i) {
    text += "|";
    for (size_t column = 0; column < lines[i].size(); ++column) {
      const bool is_cell = i > 0 && column >= 2;
      const bool marked =
          is_cell && table.rows[i - 1].cells[column - 2] && table.rows[i - 1].cells[column - 2]->is_marked();
      text += fmt::format(" {}{} |", is_cell ? lines[i][column] : escape_markdown(lines[i][column]),
                          marked ? kEscapedMark : "");
    }
    text += "\n";
    if (i > 0) continue;
    text += "|:---|";
    for (size_t column = 1; column < lines[i].size(); ++column) text += "---:|";
    text += "\n";
  }
  const std::string meaning = legend(table, "±", kEscapedMark);
  return meaning.empty() ? text : text + "\n" + meaning + "\n";
}

std::string result_json(const ResultTable& table) {
  using Json = nlohmann::ordered_json;
  Json json{{"title", table.title}, {"columns", Json::array()}, {"rows", Json::array()}};
  for (const CompareColumn& column : table.columns)
    json["columns"].push_back({{"measure", column.measure}, {"heading", column.heading}});
  for (const ResultRow& row : table.rows) {
    Json measures = Json::object();
    for (size_t i = 0; i < table.columns.size(); ++i) {
      if (!row.cells[i]) continue;
      Json cell{{"mean", row.cells[i]->mean}};
      if (row.cells[i]->error) {
        cell["error"] = *row.cells[i]->error;
        cell["error_of"] = row.cells[i]->one_seed ? "estimate" : "seeds";
      }
      cell["values"] = row.cells[i]->values;
      measures[table.columns[i].measure] = cell;
    }
    json["rows"].push_back({{"name", row.name}, {"seeds", row.seeds}, {"measures", measures}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace haze

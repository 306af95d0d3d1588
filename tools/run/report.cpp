#include "haze/tools/run/report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/engine/error.h"
#include "haze/tools/run/terminal.h"

namespace haze {

const Measure* Report::find(std::string_view name) const {
  const auto found = std::find_if(measures.begin(), measures.end(),
                                  [&](const Measure& measure) { return measure.name == name; });
  return found == measures.end() ? nullptr : &*found;
}

const Measure& Report::at(std::string_view name) const {
  const Measure* measure = find(name);
  if (!measure) fail("the report has no '{}'", name);
  return *measure;
}

std::string report_table(const Report& report) {
  size_t width = 0;
  for (const Measure& measure : report.measures) width = std::max(width, measure.label.size());
  std::string table = report.subject + "\n";
  for (const Measure& measure : report.measures) {
    table += fmt::format("{:<{}}  {:>10.{}f}", measure.label, width, measure.value, measure.decimals);
    if (measure.error) table += fmt::format(" +- {:.{}f}", *measure.error, measure.decimals);
    if (!measure.unit.empty()) table += " " + measure.unit;
    table += "\n";
  }
  for (const std::string& note : report.notes) table += note + "\n";
  return table;
}

std::string report_json(const Report& report) {
  nlohmann::ordered_json json{{"data", report.subject}};
  for (const Measure& measure : report.measures) {
    if (measure.decimals == 0) {
      json[measure.name] = static_cast<int64_t>(measure.value);
    } else {
      json[measure.name] = measure.value;
    }
    if (measure.error) json[measure.name + "_error"] = *measure.error;
  }
  if (!report.measures.empty() && report.measures.front().error)
    json["standard_error"] = *report.measures.front().error;
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace haze

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace haze {

/// One number of an evaluation.
struct Measure {
  std::string name;   // for programs: "nats_per_token"
  std::string label;  // for people: "variational bound, given the length"
  double value = 0;
  std::optional<double> error;  // one standard error
  std::string unit = "";        // for people
  int decimals = 4;             // that people are shown
};

/// Named values with their standard errors. The first is what a run's evaluations are compared by: lower is
/// better.
struct Report {
  std::string subject;  // what was measured, in a line
  std::vector<Measure> measures;
  std::vector<std::string> notes = {};  // sentences for people

  /// Null where there is none of this name.
  const Measure* find(std::string_view name) const;
  /// Throws Error where there is none.
  const Measure& at(std::string_view name) const;
};

/// For people: the subject, then a line a measure.
std::string report_table(const Report& report);

/// For programs, on one line: {"data": subject, "<name>": value, "<name>_error": error, ...}; the error of
/// the first measure is "standard_error" too. A number that is not finite is null.
std::string report_json(const Report& report);

}  // namespace haze

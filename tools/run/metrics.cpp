#include "haze/tools/run/metrics.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "haze/engine/error.h"
#include "haze/nn/nesting.h"

namespace haze {
namespace {

using Json = nlohmann::ordered_json;

std::string to_line(const MetricsRow& row) {
  Json json;
  json["step"] = row.step;
  for (const auto& [name, value] : row.values) json[name] = value;
  return json.dump() + "\n";
}

/// The row that a line holds, or nothing where it holds none.
std::optional<MetricsRow> from_line(const std::string& line) {
  require_shallow(line, "a line of metrics");
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  MetricsRow row{.step = json["step"].get<std::int64_t>(), .values = {}};
  for (const auto& [name, value] : json.items()) {
    if (name == "step") continue;
    if (!value.is_number() && !value.is_null()) return std::nullopt;
    row.values.emplace_back(name,
                            value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>());
  }
  return row;
}

/// Calls visit(row, bytes up to the end of its line, the line's number) for every whole line until it returns
/// false.
template <typename Visit>
void visit_rows(const std::filesystem::path& path, Visit visit) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read the metrics {}: {}", path.string(), std::strerror(errno));
  std::string line;
  std::uintmax_t bytes = 0;
  // A line that ends with the file, not with a newline, is not a whole one.
  for (std::int64_t number = 1; std::getline(file, line) && !file.eof(); ++number) {
    bytes += line.size() + 1;
    if (!visit(from_line(line), bytes, number)) return;
  }
  if (file.bad()) fail("cannot read the metrics {}: {}", path.string(), std::strerror(errno));
}

[[noreturn]] void fail_malformed(const std::filesystem::path& path, std::int64_t number) {
  fail("{}:{}: this is not a line of metrics, a JSON object of numbers with an integer \"step\"",
       path.string(), number);
}

}  // namespace

std::optional<double> MetricsRow::value(std::string_view name) const {
  for (const auto& [key, number] : values) {
    if (key == name) return number;
  }
  return std::nullopt;
}

MetricsLog::MetricsLog(const std::filesystem::path& path, const char* mode)
    : path_(path), file_(std::fopen(path.c_str(), mode)) {
  if (!file_) fail("cannot write the metrics {}: {}", path_.string(), std::strerror(errno));
}

MetricsLog MetricsLog::start(const std::filesystem::path& path) {
  return MetricsLog(path, "w");
}

MetricsLog MetricsLog::resume(const std::filesystem::path& path, std::int64_t step,
                              std::optional<std::int64_t> rows) {
  if (!std::filesystem::exists(path)) return start(path);
  std::uintmax_t kept_bytes = 0;
  std::int64_t malformed = 0;
  std::int64_t kept_rows = 0;
  std::int64_t last_step = 0;
  visit_rows(path, [&](const std::optional<MetricsRow>& row, std::uintmax_t bytes, std::int64_t number) {
    // Only a line that is followed by another was not torn by the crash.
    if (malformed > 0) fail_malformed(path, malformed);
    if (!row) {
      malformed = number;
      return true;
    }
    if (row->step > step || (rows && kept_rows == *rows)) return false;
    ++kept_rows;
    kept_bytes = bytes;
    last_step = row->step;
    return true;
  });
  std::error_code error;
  std::filesystem::resize_file(path, kept_bytes, error);
  if (error) fail("cannot write the metrics {}: {}", path.string(), error.message());
  MetricsLog log(path, "a");
  log.last_step_ = last_step;
  log.rows_ = kept_rows;
  return log;
}

void MetricsLog::append(const MetricsRow& row) {
  if (row.step < last_step_) {
    fail("the metrics {} are at step {} and cannot go back to step {}", path_.string(), last_step_, row.step);
  }
  const std::string line = to_line(row);
  const bool written = std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size();
  if (!written || std::fflush(file_.get()) != 0) {
    fail("cannot write the metrics {}: {}", path_.string(), std::strerror(errno));
  }
  last_step_ = row.step;
  ++rows_;
}

void MetricsLog::sync() {
  // What has no disk behind it, such as a device, cannot be synced.
  if (::fsync(::fileno(file_.get())) != 0 && errno != EINVAL)
    fail("cannot write the metrics {}: {}", path_.string(), std::strerror(errno));
}

std::vector<MetricsRow> read_metrics(const std::filesystem::path& path) {
  std::vector<MetricsRow> rows;
  visit_rows(path, [&](const std::optional<MetricsRow>& row, std::uintmax_t, std::int64_t number) {
    if (!row) fail_malformed(path, number);
    rows.push_back(*row);
    return true;
  });
  return rows;
}

}  // namespace haze

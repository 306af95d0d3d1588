#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace haze {

/// Name of the training loss, and what the names of an evaluation's measures begin with: "validation_loss". A
/// standard error has the name of its measure with "_error" at the end.
inline constexpr std::string_view kTrainingLoss = "loss";
inline constexpr std::string_view kValidation = "validation_";
inline constexpr std::string_view kError = "_error";

/// What was measured at one step, in the order in which it is written.
struct MetricsRow {
  std::int64_t step = 0;
  std::vector<std::pair<std::string, double>> values;

  /// The value of this name, or nothing where the row has none.
  std::optional<double> value(std::string_view name) const;
};

/// A file of JSON lines, one a row: {"step":10,"loss":3.25}. A number that is not finite is written as null
/// and read back as NaN.
class MetricsLog {
 public:
  /// Starts an empty file in place of any there was. Throws where it cannot be written.
  static MetricsLog start(const std::filesystem::path& path);
  /// Goes on after `step`, with the first `rows` lines where that is given: lines of later steps, which a run
  /// that broke off after its last checkpoint leaves, and a torn last line are cut off. A file that is
  /// missing is started. Throws on a malformed line before that.
  static MetricsLog resume(const std::filesystem::path& path, std::int64_t step,
                           std::optional<std::int64_t> rows = std::nullopt);

  /// Appends one line and hands it to the system before it returns. Throws where it cannot be written, and
  /// where the step is smaller than that of the row before.
  void append(const MetricsRow& row);
  /// Waits until all lines are on the disk. Throws where the system refuses.
  void sync();
  /// Lines in the file.
  std::int64_t rows() const { return rows_; }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  MetricsLog(const std::filesystem::path& path, const char* mode);

  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::int64_t last_step_ = 0;
  std::int64_t rows_ = 0;
};

/// The rows of a metrics file. A last line without its newline was torn by a crash, or is being written: it
/// is left out. Throws on a file that cannot be read and on a malformed line, with its number.
std::vector<MetricsRow> read_metrics(const std::filesystem::path& path);

}  // namespace haze

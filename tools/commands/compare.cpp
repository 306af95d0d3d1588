#include <filesystem>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/compare_picture.h"
#include "haze/tools/run/compare_runs.h"
#include "haze/tools/run/compare_table.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/result_table.h"
#include "haze/tools/run/terminal.h"

namespace haze {
namespace {

struct Arguments {
  std::string file, out, png, format = "text";
  bool json = false, dry_run = false;
};

void check_output(const char* option, const std::filesystem::path& out) {
  if (out.empty()) return;
  if (std::filesystem::is_directory(out)) fail("{} {}: this is a folder, not a file", option, out.string());
  if (out.has_parent_path() && !std::filesystem::is_directory(out.parent_path()))
    fail("{} {}: there is no folder {}", option, out.string(), out.parent_path().string());
}

void write_picture_of(const CompareTable& table, const std::vector<CompareRun>& runs,
                      const std::string& path) {
  const ComparePicture picture = compare_picture(table, runs);
  write_picture(path, picture.picture);
  say(fmt::format("{}, from left to right: {}", path, fmt::join(picture.panels, "; ")));
}

std::string printed(const ResultTable& table, const std::string& format) {
  if (format == "markdown") return result_markdown(table);
  if (format == "json") return result_json(table) + "\n";
  if (format == "svg") return plot_result_svg(table);
  return result_text(table);
}

CLI::Validator known_format() {
  const auto check = [](const std::string& text) -> std::string {
    for (const char* format : {"text", "markdown", "json", "svg"}) {
      if (text == format) return {};
    }
    return fmt::format("takes text, markdown, json or svg, not '{}'", text);
  };
  return CLI::Validator(check, "");
}

/// Says of a column that no row fills, which a misspelt name gives, what there would be. Whether there is
/// one.
bool report_empty_columns(const ResultTable& table, const std::vector<CompareRun>& runs) {
  std::set<std::string> names;
  for (const CompareRun& run : runs) {
    for (const Measure& measure : run.report->measures) names.insert(measure.name);
    for (const Measure& measure : run.costs) names.insert(measure.name);
  }
  bool found = false;
  for (const CompareColumn& column : table.columns) {
    if (names.contains(column.measure)) continue;
    found = true;
    say(fmt::format("haze: no row has the measure '{}'; there are {}", column.measure,
                    fmt::join(names, ", ")));
  }
  return found;
}

/// The exit status.
int compare(const Arguments& arguments) {
  // Said before hours of work, and not after them.
  check_output("--out", arguments.out);
  check_output("--png", arguments.png);
  const CompareTable table = read_compare_table(arguments.file);
  check_columns(table);
  if (!arguments.png.empty()) require_pictures(table);
  std::vector<CompareRun> runs = find_runs(table);
  if (arguments.dry_run) {
    fmt::print("{}", describe_plan(table, runs));
    return 0;
  }
  complete_runs(table, runs, ProgressOutput::standard_error());
  const ResultTable result = result_table(table, runs);
  const std::string text = printed(result, arguments.json ? "json" : arguments.format);
  if (arguments.out.empty()) {
    fmt::print("{}", for_stream(text, STDOUT_FILENO));
  } else {
    write_output_file(arguments.out, text);
  }
  if (!arguments.png.empty()) write_picture_of(table, runs, arguments.png);
  return report_empty_columns(result, runs) ? 1 : 0;
}

}  // namespace

void add_compare_command(CLI::App& app, int& status) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "compare", "A table of models from one file: trains and evaluates what is missing, and prints it");
  command->add_option("file", arguments->file, "TOML file of the table")->required()->check(file_name());
  CLI::Option* format = command->add_option("--format", arguments->format, "text, markdown, json or svg")
                            ->capture_default_str()
                            ->check(known_format());
  command->add_flag("--json", arguments->json, "the same as --format json")->excludes(format);
  command->add_option("--out", arguments->out, "file to write the table to (default: standard output)")
      ->check(file_name());
  command
      ->add_option("--png", arguments->png,
                   "also write a picture: the data, and samples of each row's first seed beside each other")
      ->check(file_name());
  command->add_flag("--dry-run", arguments->dry_run, "say what would be trained and evaluated, and leave");
  add_threads_option(*command);
  command->callback([arguments, &status] { status = compare(*arguments); });
}

}  // namespace haze

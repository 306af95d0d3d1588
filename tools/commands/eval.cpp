#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/evaluation.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/plot.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

struct Arguments {
  std::string run, data, plot;
  std::vector<std::string> assignments;
  int passes = 8;
  int64_t examples = 0;
  std::optional<int64_t> samples;
  uint64_t seed = 1;
  Device device = Device::cpu;
  bool exact = false, json = false;
};

/// The folder of the run that `folder` is, or is a checkpoint of: the one that holds `name`.
std::filesystem::path folder_with(const std::filesystem::path& folder, const char* name) {
  if (std::filesystem::exists(folder / name) || !std::filesystem::exists(folder)) return folder;
  const std::filesystem::path run = std::filesystem::canonical(folder).parent_path();
  return std::filesystem::exists(run / name) ? run : folder;
}

/// Takes over `--set`. Throws WrongUsage where one is wrong, or the sampler has no use for it.
void apply_settings(const Arguments& arguments, Settings& settings) {
  try {
    set_for_evaluation(arguments.assignments, !arguments.data.empty(), settings);
  } catch (const Error& error) {
    throw WrongUsage(error.what());
  }
}

Report evaluate(const Arguments& arguments) {
  // Texts that are guided are samples, too.
  const bool controls = std::any_of(arguments.assignments.begin(), arguments.assignments.end(),
                                    [](const std::string& one) { return one.starts_with("control."); });
  const Purpose purpose = arguments.samples == 0 && !controls ? Purpose::training : Purpose::sampling;
  const SavedModel saved = load_model(
      arguments.run, [&](Settings& settings) { apply_settings(arguments, settings); }, purpose,
      arguments.device);
  const Likelihood* likelihood = saved.model->likelihood();
  if (arguments.exact && (!likelihood || likelihood->terms() == 0))
    throw WrongUsage("--exact adds up the terms of a bound, and this model's bound is no sum of terms");
  const InterruptGuard interrupt;
  std::optional<WorkObserver> work;
  std::string label;
  const WorkProgress progress = [&](const std::string& what, int64_t done, int64_t all) {
    if (what != label) work.emplace(label = what, interrupt);
    work->update(done, all);
  };
  RunEvaluationOptions options;
  options.bound.passes = arguments.passes;
  options.bound.every_term = arguments.exact;
  options.bound.seed = arguments.seed;
  options.bound.progress = progress;
  options.file = arguments.data;
  options.examples = arguments.examples;
  options.samples = arguments.samples;
  return evaluate_run(saved, options);
}

void plot(const Arguments& arguments) {
  if (!std::filesystem::is_directory(arguments.run)) fail("{}: there is no such run", arguments.run);
  const std::filesystem::path run = folder_with(arguments.run, "metrics.jsonl");
  write_output_file(arguments.plot, plot_run_svg(read_metrics(run / "metrics.jsonl"),
                                                 std::filesystem::canonical(run).filename().string()));
}

}  // namespace

void add_eval_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "eval", "Measure a model: its bound on -log p of data, its samples, and a plot of its run");
  command->add_option("run", arguments->run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  command
      ->add_option("--data", arguments->data,
                   "file to evaluate on (default: the run's test part, or data.valid where it has none)")
      ->check(file_name());
  command
      ->add_option("--set", arguments->assignments,
                   "how to sample (sample.sampler=... and the like), or how to read the file of --data: "
                   "data.format=..., data.too_long=... or data.max_line_bytes=...")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command->add_option("--passes", arguments->passes, "independent estimates, for the standard error")
      ->capture_default_str()
      ->check(whole_number(kFewestPasses, 100000));
  command->add_flag("--exact", arguments->exact,
                    "take all terms of the bound, where it is a sum: T times the work, and less noise");
  command->add_option("--examples", arguments->examples, "examples, evenly spread over all; 0: all")
      ->capture_default_str()
      ->check(whole_number(0));
  command
      ->add_option("--samples", arguments->samples,
                   "samples to draw and measure; 0: none (default: 200, of points 2000)")
      ->check(whole_number(0));
  command->add_option("--seed", arguments->seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_flag("--json", arguments->json, "report in JSON");
  command->add_option("--plot", arguments->plot, "write a plot of the run (SVG) and leave")
      ->check(file_name())
      ->excludes("--json");
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  command->callback([arguments] {
    if (!arguments->plot.empty()) return plot(*arguments);
    const Report report = evaluate(*arguments);
    const std::string text = arguments->json ? report_json(report) + "\n" : report_table(report);
    fmt::print("{}", for_stream(text, STDOUT_FILENO));
  });
}

}  // namespace haze

#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"

namespace haze {
namespace {

// What `haze sample` and `haze infill` have in common.
struct Arguments {
  std::string run, svg, png;
  std::optional<std::string> gapped, prompt, source;
  std::optional<int64_t> count, label;
  SampleSettingOptions settings;
  int64_t length = 0;
  uint64_t seed = 1;
  Device device = Device::cpu;
  bool trace = false, json = false;
};

// Writes samples, showing how the first one appears where that is asked for.
void write_samples(const Arguments& arguments, const SavedModel& saved, const SampleRequest& request) {
  const Task& task = *saved.task;
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  const std::vector<Request> requests = task.requests(saved.settings, uses, request);
  if (!arguments.png.empty()) task.require_picture(saved.settings);
  std::optional<TraceKeeper> keeper;
  if (arguments.trace || !arguments.svg.empty()) keeper.emplace(task, requests.front());
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt);
  const auto observer = [&](const Snapshot& snapshot) {
    work.update(snapshot.step, snapshot.steps);
    if (keeper) keeper->observe(snapshot);
  };
  const Samples samples = draw_samples(*saved.model, task, saved.settings, requests, request.seed, observer);
  constexpr size_t kStepsInFigure = 9;
  if (arguments.trace)
    fmt::print("{}\n", render_trace(keeper->trace(), TraceStyle::for_stream(STDOUT_FILENO)));
  if (!arguments.svg.empty()) {
    write_output_file(arguments.svg,
                      trace_svg(choose_steps(keeper->trace(), kStepsInFigure), "haze: a text appears"));
  }
  if (!arguments.png.empty()) write_picture(arguments.png, task.picture(saved.settings, samples));
  for (int64_t i = 0; i < request.count; ++i)
    fmt::print("{}\n",
               for_stream(arguments.json ? task.json(samples, i) : task.written(samples, i), STDOUT_FILENO));
}

// A classifier leads samples to a label or a source: without either it would be passed over.
void require_label_of_guidance(const Arguments& arguments) {
  if (arguments.label || arguments.source) return;
  for (const char* key : {"sample.classifier", "sample.guidance"}) {
    if (const std::optional<std::string> option = arguments.settings.given(key))
      throw WrongUsage(fmt::format(
          "{} leads samples to a label: say which one with --label, or a source with --source", *option));
  }
}

void sample(const Arguments& arguments, std::optional<int64_t> default_count) {
  require_label_of_guidance(arguments);
  const SavedModel saved = load_model(
      arguments.run, [&](Settings& settings) { arguments.settings.apply_to(settings); }, Purpose::sampling,
      arguments.device);
  SampleRequest request;
  request.count = arguments.count.value_or(default_count.value_or(saved.settings.integer("sample.count")));
  request.length = arguments.length;
  request.gapped = arguments.gapped;
  request.prompt = arguments.prompt;
  request.source = arguments.source;
  request.label = arguments.label;
  request.seed = arguments.seed;
  write_samples(arguments, saved, request);
}

void add_common_options(CLI::App& command, Arguments& arguments) {
  command.add_option("run", arguments.run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  arguments.settings.add_to(command, {"count"});
  command.add_option("--source", arguments.source, "what the text answers to, in pairs");
  command.add_option("--seed", arguments.seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  CLI::Option* trace =
      command.add_flag("--trace", arguments.trace, "show how the first text appears, step by step");
  command.add_option("--svg", arguments.svg, "write a picture of how the first text appears")
      ->check(file_name());
  command.add_flag("--json", arguments.json, "one JSON object a line")->excludes(trace);
  add_threads_option(command);
  add_device_option(command, arguments.device);
}

}  // namespace

void add_sample_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("sample", "Write texts, or other samples, with a trained model");
  add_common_options(*command, *arguments);
  command->add_option("--count", arguments->count, "samples to draw (default: the run's)")
      ->check(whole_number(1, kMostSamples));
  command->add_option("--prompt", arguments->prompt, "the beginning of each text");
  command->add_option("--length", arguments->length, "tokens of each text with its end; 0: as in training")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--label", arguments->label, "the class of each sample, by its number")
      ->check(whole_number(0));
  command
      ->add_option("--png", arguments->png,
                   "write a picture of the samples: a sheet of images, or points beside their density")
      ->check(file_name());
  command->callback([arguments] { sample(*arguments, {}); });
}

void add_infill_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("infill", "Fill the gaps of a text; write _ for each token to be filled in");
  add_common_options(*command, *arguments);
  command->add_option("--count", arguments->count, "ways to fill it (default: 1)")
      ->check(whole_number(1, kMostSamples));
  command->add_option("text", arguments->gapped, "the text, such as \"The _ is a _ pub .\"")->required();
  command->callback([arguments] {
    arguments->gapped = without_text_mark(*arguments->gapped);
    sample(*arguments, 1);
  });
}

}  // namespace haze

#include <memory>
#include <optional>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/work_observer.h"
#include "haze/tools/run/writing.h"

namespace haze {
namespace {

// What `haze sample` and `haze infill` have in common.
struct Arguments {
  std::string run, text, svg;
  std::optional<std::string> sampler, precision;
  std::optional<int64_t> count, steps, top_k;
  std::optional<double> temperature, top_p;
  int64_t length = 0;
  uint64_t seed = 1;
  bool special_tokens = false, trace = false, json = false;
};

void apply(const Arguments& arguments, TextModel& model) {
  if (arguments.sampler) model.set("sample.sampler", *arguments.sampler);
  const std::string& sampler = model.settings().text("sample.sampler");
  if (arguments.steps && sampler != "ancestral")
    throw WrongUsage(
        fmt::format("--steps is for the ancestral sampler; {} takes a step for each token", sampler));
  if (arguments.steps) model.set("sample.steps", *arguments.steps);
  if (arguments.top_k) model.set("sample.top_k", *arguments.top_k);
  if (arguments.temperature) model.set("sample.temperature", *arguments.temperature);
  if (arguments.top_p) model.set("sample.top_p", *arguments.top_p);
  if (arguments.precision) model.set("sample.precision", *arguments.precision);
  if (arguments.special_tokens) model.set("sample.special_tokens", true);
  if (arguments.count) model.set("sample.count", *arguments.count);
}

void print_samples(const Arguments& arguments, const TextModel& model, const Samples& samples) {
  for (const auto& tokens : samples.texts) {
    const std::string text = written(model, tokens);
    if (arguments.json) {
      fmt::print("{}\n", nlohmann::ordered_json{{"text", text}, {"tokens", tokens}}.dump());
    } else {
      fmt::print("{}\n", text);
    }
  }
}

// Writes texts from canvases, showing how the first one appears where that is asked for.
void write_texts(const Arguments& arguments, const TextModel& model, const std::vector<Canvas>& canvases,
                 Generator& generator) {
  TraceKeeper keeper(model, canvases[0]);
  const bool traced = arguments.trace || !arguments.svg.empty();
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt);
  const Samples samples = model.sample(canvases, generator, [&](const SamplerStep& step) {
    work.update(step.step, step.steps);
    if (traced) keeper.observer()(step);
  });
  constexpr size_t kStepsInFigure = 9;
  if (arguments.trace)
    fmt::print("{}\n", render_trace(keeper.trace(), TraceStyle::for_stream(STDOUT_FILENO)));
  if (!arguments.svg.empty()) {
    write_file_atomically(arguments.svg,
                          trace_svg(choose_steps(keeper.trace(), kStepsInFigure), "haze: a text appears"));
  }
  print_samples(arguments, model, samples);
}

void add_common_options(CLI::App& command, Arguments& arguments) {
  command.add_option("run", arguments.run, "folder of a run or of a checkpoint")->required();
  add_setting_option(command, "--sampler", "sample.sampler", arguments.sampler);
  add_setting_option(command, "--steps", "sample.steps", arguments.steps);
  add_setting_option(command, "--temperature", "sample.temperature", arguments.temperature);
  add_setting_option(command, "--top-p", "sample.top_p", arguments.top_p);
  add_setting_option(command, "--top-k", "sample.top_k", arguments.top_k);
  add_setting_option(command, "--precision", "sample.precision", arguments.precision);
  command.add_flag("--special-tokens", arguments.special_tokens, "let texts hold <pad> and <unk>");
  command.add_option("--seed", arguments.seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  CLI::Option* trace =
      command.add_flag("--trace", arguments.trace, "show how the first text appears, step by step");
  command.add_option("--svg", arguments.svg, "write a picture of how the first text appears");
  command.add_flag("--json", arguments.json, "one JSON object a line")->excludes(trace);
  add_threads_option(command);
}

}  // namespace

void add_sample_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("sample", "Write texts with a trained model");
  add_common_options(*command, *arguments);
  add_setting_option(*command, "--count", "sample.count", arguments->count);
  command->add_option("--length", arguments->length, "tokens of each text with its end; 0: as in training")
      ->capture_default_str()
      ->check(whole_number(0));
  command->callback([arguments] {
    const auto model = TextModel::load(arguments->run);
    apply(*arguments, *model);
    Generator generator(arguments->seed);
    const auto canvases =
        open_canvases(*model, model->settings().integer("sample.count"), arguments->length, generator);
    write_texts(*arguments, *model, canvases, generator);
  });
}

void add_infill_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("infill", "Fill the gaps of a text; write _ for each token to be filled in");
  add_common_options(*command, *arguments);
  command->add_option("--count", arguments->count, "ways to fill it (default: 1)")->check(whole_number(1));
  command->add_option("text", arguments->text, "the text, such as \"The _ is a _ pub .\"")->required();
  command->callback([arguments] {
    const auto model = TextModel::load(arguments->run);
    apply(*arguments, *model);
    Generator generator(arguments->seed);
    const std::vector<Canvas> canvases(static_cast<size_t>(arguments->count.value_or(1)),
                                       canvas_of(*model, arguments->text));
    write_texts(*arguments, *model, canvases, generator);
  });
}

}  // namespace haze

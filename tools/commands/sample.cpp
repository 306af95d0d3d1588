#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/commands/shown_sampling.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/text/text_format.h"
#include "haze/tools/text/utf8.h"

namespace haze {
namespace {

// The arguments of `haze sample` and `haze infill`.
struct Arguments {
  std::string run, png, file;
  std::optional<std::string> gapped, prompt, source;
  std::optional<int64_t> count, label;
  SampleSettingOptions settings;
  SamplingOptions sampling;
  int64_t length = 0;
  Device device = Device::cpu;
  bool json = false;
};

// A classifier leads samples to a label or a source: without either it would be passed over.
void require_label_of_guidance(const Arguments& arguments) {
  if (arguments.label || arguments.source) return;
  for (const char* key :
       {"sample.classifier", "sample.guidance", "sample.control_updates", "sample.control_step",
        "sample.control_fluency", "sample.control_adagrad", "sample.control_top_k"}) {
    if (const std::optional<std::string> option = arguments.settings.given(key))
      throw WrongUsage(fmt::format(
          "{} leads samples to a label: say which one with --label, or a source with --source", *option));
  }
}

SavedModel load(const Arguments& arguments) {
  return load_model(
      arguments.run, [&](Settings& settings) { arguments.settings.apply_to(settings); }, Purpose::sampling,
      arguments.device);
}

// The texts with gaps: one, or the lines of a file that are not blank. A line's number is 0 where there is no
// file.
std::vector<std::pair<int64_t, std::string>> gapped_texts(const Arguments& arguments) {
  if (arguments.gapped) return {{0, *arguments.gapped}};
  std::vector<std::pair<int64_t, std::string>> texts;
  std::ifstream file = open_texts(arguments.file);
  std::string text;
  for (int64_t line = 1; std::getline(file, text); ++line) {
    if (line == 1) text = std::string(without_byte_order_mark(text));
    if (text.ends_with('\r')) text.pop_back();
    if (!trim(text).empty()) texts.emplace_back(line, text);
  }
  if (texts.empty()) fail("{}: there is no text in it", arguments.file);
  return texts;
}

// Requests for `count` ways to fill each text, one text after the other.
std::vector<Request> infill_requests(const SavedModel& saved, const Arguments& arguments,
                                     SampleRequest request, std::vector<int64_t>& lines) {
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  std::vector<Request> requests;
  for (const auto& [line, text] : gapped_texts(arguments)) {
    request.gapped = text;
    request.first = std::ssize(requests);
    if (request.first + request.count > kMostSamples)
      fail("{} texts are the most that are drawn at a time", kMostSamples);
    try {
      for (Request& one : saved.task->requests(saved.settings, uses, request))
        requests.push_back(std::move(one));
    } catch (const Error& error) {
      if (line == 0) throw;
      fail("{}:{}: {}", arguments.file, line, error.what());
    }
    lines.resize(requests.size(), line);
  }
  return requests;
}

// A sample as a JSON object, with what repeats it.
std::string json_of(const SavedModel& saved, const Samples& samples, int64_t index, uint64_t seed,
                    int64_t line) {
  nlohmann::ordered_json object = nlohmann::ordered_json::parse(saved.task->json(samples, index));
  object["seed"] = seed;
  if (line > 0) object["line"] = line;
  return object.dump();
}

// `lines`, where it is not empty, holds the number of the line that each sample fills.
void write_samples(Arguments& arguments, const SavedModel& saved, const std::vector<Request>& requests,
                   const std::vector<int64_t>& lines) {
  const ShownSamples shown = draw_shown(saved, requests, arguments.sampling);
  if (!arguments.png.empty())
    write_picture(arguments.png, saved.task->picture(saved.settings, shown.samples));
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto index = static_cast<int64_t>(i);
    const std::string text = arguments.json
                                 ? json_of(saved, shown.samples, index, arguments.sampling.chosen_seed(),
                                           lines.empty() ? 0 : lines[i])
                                 : saved.task->written(shown.samples, index);
    fmt::print("{}\n", for_stream(text, STDOUT_FILENO));
  }
  shown.say_summary();
}

void sample(Arguments& arguments) {
  require_label_of_guidance(arguments);
  const SavedModel saved = load(arguments);
  const SampleRequest request{.count = arguments.count.value_or(saved.settings.integer("sample.count")),
                              .length = arguments.length,
                              .prompt = arguments.prompt,
                              .source = arguments.source,
                              .label = arguments.label,
                              .seed = arguments.sampling.chosen_seed()};
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  const std::vector<Request> requests = saved.task->requests(saved.settings, uses, request);
  if (!arguments.png.empty()) saved.task->require_picture(saved.settings);
  write_samples(arguments, saved, requests, {});
}

void infill(Arguments& arguments) {
  const SavedModel saved = load(arguments);
  const SampleRequest request{.count = arguments.count.value_or(1),
                              .source = arguments.source,
                              .seed = arguments.sampling.chosen_seed()};
  std::vector<int64_t> lines;
  const std::vector<Request> requests = infill_requests(saved, arguments, request, lines);
  write_samples(arguments, saved, requests, lines);
}

void add_common_options(CLI::App& command, Arguments& arguments,
                        std::initializer_list<std::string_view> without) {
  command.add_option("run", arguments.run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  command.add_option("--source", arguments.source, "what the text answers to, in pairs");
  CLI::Option* trace = arguments.sampling.add_to(command);
  command.add_flag("--json", arguments.json, "one JSON object a line")->excludes(trace);
  add_threads_option(command);
  add_device_option(command, arguments.device);
  arguments.settings.add_to(command, without);
}

}  // namespace

void add_sample_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("sample", "Write texts, or other samples, with a trained model");
  command->add_option("--count", arguments->count, "samples to draw (default: the run's)")
      ->check(whole_number(1, kMostSamples));
  command->add_option("--prompt,--start", arguments->prompt, "the beginning of each text");
  command->add_option("--length", arguments->length, "tokens of each text with its end; 0: as in training")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--label", arguments->label, "the class of each sample, by its number")
      ->check(whole_number(0));
  command
      ->add_option("--png", arguments->png,
                   "write a picture of the samples: a sheet of images, or points beside their density")
      ->check(file_name());
  add_common_options(*command, *arguments, {"count", "tagger", "parser"});
  command->callback([arguments] { sample(*arguments); });
}

void add_infill_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand(
      "infill",
      "Fill the gaps of a text: _ is one token, _* any number, _{2,5} two to five, _{,5} at most five");
  command->add_option("--count", arguments->count, "ways to fill each text (default: 1)")
      ->check(whole_number(1, kMostSamples));
  CLI::Option* file = command->add_option("--file", arguments->file, "file of texts with gaps, one a line");
  file->check(file_name());
  add_common_options(*command, *arguments,
                     {"count", "tagger", "parser", "classifier", "guidance", "control_updates",
                      "control_step", "control_fluency", "control_adagrad", "control_top_k"});
  command
      ->add_option("text", arguments->gapped,
                   "the text, such as \"The _ is a _* pub .\"; \\_ is the character _")
      ->excludes(file);
  command->callback([arguments] {
    if (arguments->gapped) arguments->gapped = without_text_mark(*arguments->gapped);
    if (!arguments->gapped && arguments->file.empty())
      throw CLI::ValidationError("the argument 'text' is missing; --file names a file of texts");
    infill(*arguments);
  });
}

}  // namespace haze

#include <algorithm>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"
#include "haze/tools/tasks/corpus_floor.h"
#include "haze/tools/tasks/text_task.h"

namespace haze {
namespace {

struct Arguments {
  std::string run;
  std::optional<std::string> semantic;
  std::optional<int64_t> count;
  SampleSettingOptions settings;
  int64_t length = 0;
  uint64_t seed = 1;
  Device device = Device::cpu;
  bool trace = false;
};

/// "food: Japanese".
struct SemanticTarget {
  std::string field, value;
};

std::string without_spaces_around(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

SemanticTarget semantic_target(const std::string& text) {
  const size_t colon = text.find(':');
  SemanticTarget target;
  if (colon != std::string::npos)
    target = {without_spaces_around(text.substr(0, colon)), without_spaces_around(text.substr(colon + 1))};
  if (target.field.empty() || target.value.empty())
    throw WrongUsage(
        fmt::format("--semantic takes a field and its value, such as \"food: Japanese\", not '{}'", text));
  return target;
}

void print_share(const std::string& what, const std::vector<std::string>& texts,
                 const std::function<bool(const std::string&)>& holds) {
  const auto right = std::count_if(texts.begin(), texts.end(), holds);
  const auto all = static_cast<double>(texts.size());
  fmt::print("{}: {} of {}, {:.3f} +- {:.3f}\n", what, right, texts.size(), static_cast<double>(right) / all,
             share_error(static_cast<double>(right), all));
}

// Success is read off the texts, by code that knows nothing of the classifier.
void print_success(const Arguments& arguments, const std::optional<SemanticTarget>& target,
                   const std::vector<std::string>& texts) {
  if (target) {
    print_share(fmt::format("the {} '{}' is in the text", target->field, target->value), texts,
                [&](const std::string& text) { return text.find(target->value) != std::string::npos; });
  }
  if (arguments.length == 0) return;
  print_share(fmt::format("{} words, or at most two more or fewer", arguments.length - 1), texts,
              [&](const std::string& text) {
                const auto words = text.empty() ? 0 : std::count(text.begin(), text.end(), ' ') + 1;
                return std::abs(words - (arguments.length - 1)) <= 2;
              });
}

// How a classifier that stands on the run is trained: the first model of labelled texts that stands on
// another.
std::string training_command(const std::string& run) {
  for (const ModelRow& row : model_table()) {
    const std::vector<std::string>& tasks = row.info.tasks;
    if (std::find(tasks.begin(), tasks.end(), "labelled") == tasks.end()) continue;
    for (const std::string& key : row.info.frozen) {
      if (!is_of_sampling(key))
        return fmt::format(": haze train --config {} --set {}={} trains one", row.configuration, key, run);
    }
  }
  return "";
}

void control(const Arguments& arguments) {
  if (!arguments.semantic && arguments.length == 0)
    throw WrongUsage("nothing is controlled: say what is wanted with --semantic, --length or both");
  std::optional<SemanticTarget> target;
  if (arguments.semantic) target = semantic_target(*arguments.semantic);
  const SavedModel saved = load_model(
      arguments.run, [&](Settings& settings) { arguments.settings.apply_to(settings); }, Purpose::sampling,
      arguments.device);
  const auto* task = dynamic_cast<const TextTask*>(saved.task.get());
  if (!task) fail("the model {} makes no texts, which control is for", saved.settings.text("model"));
  SampleRequest request;
  request.count = arguments.count.value_or(saved.settings.integer("sample.count"));
  request.length = arguments.length;
  request.seed = arguments.seed;
  const Uses uses = sampler_of(*saved.model, saved.settings).uses();
  if (target) {
    request.label = task->label_called(target->field, target->value);
    if (!uses.label) {
      fail("--semantic needs a classifier of the run{}; name its run with --classifier",
           training_command(arguments.run));
    }
  }
  const std::vector<Request> requests = task->requests(saved.settings, uses, request);
  std::optional<TraceKeeper> keeper;
  if (arguments.trace) keeper.emplace(*task, requests.front());
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt);
  const auto observer = [&](const Snapshot& snapshot) {
    work.update(snapshot.step, snapshot.steps);
    if (keeper) keeper->observe(snapshot);
  };
  const Samples samples = draw_samples(*saved.model, *task, saved.settings, requests, request.seed, observer);
  if (keeper) fmt::print("{}\n", render_trace(keeper->trace(), TraceStyle::for_stream(STDOUT_FILENO)));
  std::vector<std::string> texts;
  for (int64_t i = 0; i < request.count; ++i) texts.push_back(task->written(samples, i));
  for (const std::string& text : texts) fmt::print("{}\n", for_stream(text, STDOUT_FILENO));
  print_success(arguments, target, texts);
}

}  // namespace

void add_control_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("control", "Write texts that have a property, and count how many have it");
  command->add_option("run", arguments->run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  command->add_option(
      "--semantic", arguments->semantic,
      "a field and its value that the text says, such as \"food: Japanese\"; needs --classifier");
  command->add_option("--length", arguments->length, "tokens of each text with its end")
      ->check(whole_number(1));
  command->add_option("--count", arguments->count, "texts to write (default: the run's)")
      ->check(whole_number(1, kMostSamples));
  arguments->settings.add_to(*command, {"count"});
  command->add_option("--seed", arguments->seed, "of the random numbers")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_flag("--trace", arguments->trace, "show how the first text is pulled to its target");
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  command->callback([arguments] { control(*arguments); });
}

}  // namespace haze

#include <memory>

#include <fmt/format.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/tasks/tensor_data.h"
#include "haze/tools/tasks/tensor_task.h"

namespace haze {
namespace {

struct Arguments {
  std::string set, folder, png;
  int64_t count = 8, seed = 1;
};

/// The settings of a run that would have these data.
Settings settings_of(const Arguments& arguments) {
  SettingsTable table = tensor_settings();
  table.push_back(text_setting("model", "any", "for messages"));
  table.push_back(integer_setting("train.seed", 1, at_least(0), "of the drawn examples"));
  Settings settings(std::move(table));
  settings.set("data.set", arguments.set, "haze data show");
  settings.set("data.folder", arguments.folder);
  settings.set("data.train_size", arguments.count, "--count");
  settings.set("data.valid_size", 1);  // which of mnist is taken from the images that there are to show
  settings.set("train.seed", arguments.seed);
  check_tensor_data(settings);
  return settings;
}

void show(const Arguments& arguments) {
  const Settings settings = settings_of(arguments);
  const std::unique_ptr<TensorTask> task = TensorTask::start(settings);
  const std::unique_ptr<Examples> examples = task->examples(settings, Part::train);
  const Batch batch = examples->batch(spread_indices(examples->size(), arguments.count));
  Samples samples;
  samples.values = batch.values;
  if (!arguments.png.empty()) return write_picture(arguments.png, task->picture(settings, samples));
  const std::vector<int32_t> labels =
      batch.labels.defined() ? batch.labels.to_vector<int32_t>() : std::vector<int32_t>();
  const bool is_images = task->example() == "image";
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (!labels.empty()) fmt::print("label {}{}", labels[static_cast<size_t>(i)], is_images ? "\n" : ": ");
    fmt::print("{}\n", task->written(samples, i));
  }
}

}  // namespace

void add_data_show_command(CLI::App& data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = data.add_subcommand("show", "Show points or images that a model may learn");
  command->add_option("set", arguments->set, "what data.set may be, such as digits")->required();
  command->add_option("--folder", arguments->folder, "data.folder of mnist and png")->check(file_name());
  command->add_option("--count", arguments->count, "examples of the training part")
      ->capture_default_str()
      ->check(whole_number(1, 1000000));
  command->add_option("--seed", arguments->seed, "of the drawn examples, as train.seed")
      ->capture_default_str()
      ->check(whole_number(0));
  command->add_option("--png", arguments->png, "write a picture instead of text")->check(file_name());
  command->callback([arguments] { show(*arguments); });
}

}  // namespace haze

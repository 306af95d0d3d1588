#include <memory>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/data_files.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"
#include "haze/tools/tasks/tagging.h"
#include "haze/tools/text/text_format.h"

namespace haze {
namespace {

struct Arguments {
  std::string run, file, format;
  Device device = Device::cpu;
  bool check = false;
};

void write_tags(const std::filesystem::path& file, const TextTags& tags) {
  std::string lines;
  for (const std::vector<std::string>& text : tags) lines += fmt::format("{}\n", fmt::join(text, " "));
  write_file_atomically(file, lines);
  say(fmt::format("haze: the tags of {} texts are written to {}", tags.size(), file.string()));
}

// Takes the format that is given, or else what the file's first lines look like.
void set_format(const Arguments& arguments, Settings& settings) {
  const std::string format = arguments.format.empty()
                                 ? std::string(format_name(guess_format(beginning_of(arguments.file))))
                                 : arguments.format;
  settings.set("data.format", format);
}

void tag(const Arguments& arguments) {
  const SavedModel saved = load_model(arguments.run, {}, Purpose::training, arguments.device);
  const auto* task = dynamic_cast<const TextTask*>(saved.task.get());
  if (!task) fail("the model {} reads no texts, which are tagged", saved.settings.text("model"));
  require_tagger(*saved.model, saved.settings);
  Settings settings = saved.settings;
  set_format(arguments, settings);
  const std::filesystem::path tags_file = annotation_file(arguments.file, Annotation::tags);
  if (tags_file == arguments.file) fail("{}: its tags would replace the texts", arguments.file);
  if (!arguments.check && std::filesystem::exists(tags_file))
    fail("{} is there already; --check compares with it", tags_file.string());
  const TextFile texts(arguments.file, text_file_options(settings));
  TextTags wanted;
  if (arguments.check) wanted = TextAnnotations::read(arguments.file, Annotation::tags, texts.size()).tags;
  const InterruptGuard interrupt;
  WorkObserver work("tagging", interrupt);
  const TextTags tags =
      tags_of_file(*task, *saved.model, settings, arguments.file,
                   [&](const std::string&, int64_t done, int64_t all) { work.update(done, all); });
  std::optional<TagAccuracy> accuracy;
  if (arguments.check) accuracy = compare_tags(tags, wanted, texts);
  if (arguments.format.empty()) {
    say(fmt::format("haze: {} is read as data.format={}; --format says otherwise", arguments.file,
                    settings.text("data.format")));
  }
  if (!accuracy) return write_tags(tags_file, tags);
  fmt::print("{:.4f} +- {:.4f} of {} words in {} texts have the tag of {}\n", accuracy->value(),
             accuracy->error(), accuracy->words(), texts.size(), tags_file.string());
}

}  // namespace

void add_tag_command(CLI::App& app, int&) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("tag", "Write the part of speech of every word of FILE.txt to FILE.tags");
  command->add_option("run", arguments->run, "folder of a run of a model that tags words, or of a checkpoint")
      ->required();
  command->add_option("file", arguments->file, "file of texts")->required();
  command
      ->add_option("--format", arguments->format,
                   "what the file holds (default: what its first lines look like)")
      ->check(CLI::IsMember(line_format_names()));
  command->add_flag("--check", arguments->check,
                    "write nothing, and say how many words have the tag that FILE.tags has");
  add_threads_option(*command);
  add_device_option(*command, arguments->device);
  command->callback([arguments] { tag(*arguments); });
}

}  // namespace haze

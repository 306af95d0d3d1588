#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/tasks/control_corpus.h"

namespace haze {
namespace {

struct Arguments {
  std::string folder, file, part = "train";
  std::vector<std::string> kinds = {"all"};
  uint64_t seed = 1;
};

std::vector<ControlKind> kinds_of(const Arguments& arguments) {
  std::vector<ControlKind> kinds;
  for (const std::string& name : arguments.kinds) {
    if (name == "all") return control_kinds();
    kinds.push_back(control_kind(name));
  }
  return kinds;
}

void write_controls(const Arguments& arguments) {
  const std::vector<ControlKind> kinds = kinds_of(arguments);
  make_folder_of(arguments.file);
  const std::vector<AnnotatedText> texts = annotated_texts(arguments.folder, arguments.part, kinds);
  const std::string lines = controlled_lines(texts, kinds, arguments.seed);
  write_file_atomically(arguments.file, lines);
  say(fmt::format("haze: {} pairs of a control and a text are written to {}",
                  std::count(lines.begin(), lines.end(), '\n'), arguments.file));
}

}  // namespace

void add_data_controls_command(CLI::App& data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      data.add_subcommand("controls", "Write pairs of a property and a text that has it, in jsonl");
  command
      ->add_option("folder", arguments->folder,
                   "folder of haze data generate, or of train.txt in E2E's format with train.tags")
      ->required();
  command->add_option("--out", arguments->file, "file to write, data.format jsonl")->required();
  command->add_option("--part", arguments->part, "train, valid or test")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "valid", "test"}));
  command->add_option("--kind", arguments->kinds, "all, or some of semantic, pos, tree, span, length")
      ->capture_default_str()
      ->delimiter(',');
  command->add_option("--seed", arguments->seed, "of the choice of a property of each text")
      ->capture_default_str()
      ->check(whole_number(0));
  command->callback([arguments] { write_controls(*arguments); });
}

}  // namespace haze

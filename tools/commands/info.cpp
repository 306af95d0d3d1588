#include <memory>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/run_info.h"
#include "haze/tools/run/terminal.h"

namespace haze {

void add_info_command(CLI::App& app, int&) {
  struct Arguments {
    std::string run;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("info", "Say what a run is, what it learned from, and what it can do");
  command->add_option("run", arguments->run, "folder of a run or of a checkpoint")
      ->required()
      ->check(file_name());
  command->add_flag("--json", arguments->json, "one JSON object");
  command->callback([arguments] {
    const RunInfo info = run_info(arguments->run);
    const std::string text = arguments->json ? run_info_json(info) + "\n" : run_info_text(info);
    fmt::print("{}", for_stream(text, STDOUT_FILENO));
  });
}

}  // namespace haze

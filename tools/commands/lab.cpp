#include <cstdio>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "haze/nn/file_io.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/lab/lab_report.h"
#include "haze/tools/lab/model_cost.h"
#include "haze/tools/lab/puzzles.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

struct Arguments {
  std::string ladder, rung, gpu = "h100", svg, compiled, device;
  int64_t size = 0, line = 0;
  uint64_t blocks = 4;
  bool step = false, json = false, uncompared = false;
};

/// What is named on the command line and is not there makes the command line wrong.
template <typename F>
auto named(F&& find) {
  try {
    return &find();
  } catch (const Error& error) {
    throw WrongUsage(error.what());
  }
}

/// A screenful at a time where a person reads and can press enter.
void print_pages(const std::vector<std::string>& lines) {
  constexpr size_t kPage = 30;
  const bool pages = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  for (size_t i = 0; i < lines.size(); ++i) {
    fmt::print("{}\n", lines[i]);
    if (!pages || (i + 1) % kPage != 0) continue;
    fmt::print("-- enter: go on; q: leave -- ");
    std::fflush(stdout);
    int letter = std::getchar();
    if (letter == 'q' || letter == EOF) return;
    while (letter != '\n' && letter != EOF) letter = std::getchar();
  }
}

void check_rung_options(const Arguments& arguments, const CLI::App& command) {
  if (arguments.ladder.empty()) {
    for (const char* option : {"--size", "--gpu", "--rung", "--blocks", "--svg", "--line", "--step", "--json",
                               "--compiled", "--uncompared", "--device"}) {
      if (command.get_option(option)->count() > 0)
        throw WrongUsage(fmt::format("{} is for a ladder, and none is named", option));
    }
  }
  for (const char* option : {"--svg", "--step"}) {
    if (command.get_option(option)->count() > 0 && arguments.rung.empty())
      throw WrongUsage(fmt::format("{} shows one rung: name it by --rung", option));
  }
  if (!arguments.device.empty()) {
    for (const char* option :
         {"--gpu", "--blocks", "--svg", "--step", "--json", "--compiled", "--uncompared"}) {
      if (command.get_option(option)->count() > 0)
        throw WrongUsage(fmt::format("{} is for counts, and --device asks for times", option));
    }
  }
  if (arguments.line != 0 && arguments.svg.empty())
    throw WrongUsage("--line says what --svg draws, and that is missing");
}

void draw(const Arguments& arguments, const RungReport& report) {
  const simt::LineCount& line =
      *named([&]() -> const simt::LineCount& { return line_to_draw(report, arguments.line); });
  write_output_file(arguments.svg, request_svg(report, line));
}

/// The rungs that were asked for: all, or one.
std::vector<unsigned> rungs_of(const Ladder& ladder, const Arguments& arguments) {
  std::vector<unsigned> rungs;
  if (arguments.rung.empty()) {
    for (unsigned rung = 0; rung < ladder.rungs.size(); ++rung) rungs.push_back(rung);
    return rungs;
  }
  try {
    return {rung_named(ladder, arguments.rung)};
  } catch (const Error& error) {
    throw WrongUsage(error.what());
  }
}

int time_ladder(const Ladder& ladder, const std::vector<unsigned>& rungs, const Arguments& arguments) {
  const Device device = device_named(arguments.device);
  runtime(device);  // throws where there is none
  const int64_t size = arguments.size ? arguments.size : ladder.size;
  std::vector<TimedRung> timed;
  bool right = true;
  for (unsigned rung : rungs) {
    timed.push_back(time_rung(ladder, rung, size, device));
    right = right && timed.back().right;
  }
  std::string absent;  // a library that is not there is no fault of the kernels
  for (const Ladder::Peer& peer : ladder.peers) {
    if (!arguments.rung.empty()) break;
    try {
      timed.push_back(time_peer(peer, size, device));
    } catch (const Error& error) {
      absent += fmt::format("{}: {}\n", peer.rung.name, error.what());
    }
  }
  fmt::print("{}{}", time_table(ladder, device, size, timed), absent);
  return right ? 0 : 1;
}

int climb_ladder(const Arguments& arguments) {
  const Ladder& ladder = *named([&]() -> const Ladder& { return ladder_named(arguments.ladder); });
  const Gpu& gpu = *named([&]() -> const Gpu& { return gpu_named(arguments.gpu); });
  const std::vector<unsigned> chosen = rungs_of(ladder, arguments);
  if (arguments.size % ladder.multiple != 0) {
    throw WrongUsage(fmt::format("the ladder {} takes a --size that is a multiple of {}, not {}", ladder.name,
                                 ladder.multiple, arguments.size));
  }
  if (!arguments.device.empty()) return time_ladder(ladder, chosen, arguments);
  if (arguments.step) {
    const int64_t size = arguments.size ? arguments.size : ladder.step_size;
    fmt::print("{}: {}; size {}\n", ladder.name, ladder.what, size);
    print_pages(step_lines(follow(ladder, chosen.front(), size)));
    return 0;
  }
  CompiledKernels compiled = compiled_kernels();
  if (!arguments.compiled.empty()) {
    compiled = parse_compiled_kernels(read_whole_file(arguments.compiled), arguments.compiled);
  }
  const ClimbOptions options{.size = arguments.size ? arguments.size : ladder.size,
                             .blocks = arguments.blocks,
                             .compare = !arguments.uncompared,
                             .compiled = &compiled};
  std::vector<RungReport> rungs;
  bool right = true;
  for (unsigned rung : chosen) {
    rungs.push_back(climb(ladder, rung, gpu, options));
    right = right && rungs.back().right.value_or(true);
  }
  if (!arguments.svg.empty()) draw(arguments, rungs.front());
  if (arguments.json) {
    fmt::print("{}\n", climb_json(ladder, gpu, options, rungs).dump());
  } else {
    fmt::print("{}", climb_table(ladder, gpu, options, rungs));
    if (!arguments.rung.empty()) fmt::print("\n{}", line_table(rungs.front()));
  }
  return right ? 0 : 1;
}

void list_puzzles() {
  for (size_t i = 0; i < puzzles().size(); ++i) {
    fmt::print("{} {}\n  haze lab puzzle {}\n", i + 1, puzzles()[i].name, i + 1);
  }
}

int show_puzzle(size_t number, bool check) {
  if (number > puzzles().size())
    throw WrongUsage(fmt::format("there is no puzzle {}; there are {}", number, puzzles().size()));
  const Puzzle& puzzle = puzzles()[number - 1];
  if (!check) {
    fmt::print("{} ({})\n\n{}\n{}\nLook at it in the emulator: haze lab puzzle {} --check\n", puzzle.name,
               puzzle.file, kernel_of(puzzle), puzzle.question, number);
    return 0;
  }
  const PuzzleVerdict verdict = puzzle.judge(puzzle.run);
  fmt::print("{}{}\n", verdict.report,
             verdict.solved
                 ? "solved"
                 : fmt::format("not solved: change {}, then tools/build.sh release haze", puzzle.file));
  return verdict.solved ? 0 : 1;
}

void add_puzzle_command(CLI::App& lab, int& status) {
  auto number = std::make_shared<int64_t>(0);
  auto check = std::make_shared<bool>(false);
  CLI::App* command = lab.add_subcommand("puzzle", "Find the fault of a kernel");
  command->add_option("number", *number, "of a puzzle; none: list them")->check(whole_number(1));
  command->add_flag("--check", *check, "run the kernel on the emulated GPU; exit status 1: not solved");
  command->callback([number, check, &status] {
    if (*number == 0 && *check) throw WrongUsage("--check is for a puzzle, and none is named");
    *number == 0 ? list_puzzles() : void(status = show_puzzle(static_cast<size_t>(*number), *check));
  });
}

void add_model_command(CLI::App& lab) {
  struct ModelArguments {
    std::string config, gpu = "h100";
    std::vector<std::string> assignments;
    int64_t vocabulary = 30522;
    bool json = false;
  };
  auto arguments = std::make_shared<ModelArguments>();
  CLI::App* command = lab.add_subcommand("model", "What a training step would take on a GPU, on paper");
  command->add_option("--config", arguments->config, "TOML file of settings")->check(file_name());
  command->add_option("--set", arguments->assignments, "one setting, as key=value; may be given again")
      ->allow_extra_args(false)
      ->type_name("KEY=VALUE");
  command->add_option("--gpu", arguments->gpu, "a100, h100, h200 or rtx4090")->capture_default_str();
  command->add_option("--vocabulary", arguments->vocabulary, "tokens that a text can hold")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 24));
  command->add_flag("--json", arguments->json, "report in JSON");
  command->callback([arguments] {
    const Gpu& gpu = *named([&]() -> const Gpu& { return gpu_named(arguments->gpu); });
    std::optional<std::filesystem::path> file;
    if (!arguments->config.empty()) file = arguments->config;
    settings_from(file, {});  // for what is wrong in the file, which is no wrong command line
    Settings settings = [&] {
      try {
        return settings_from(file, arguments->assignments);
      } catch (const Error& error) {
        throw WrongUsage(error.what());
      }
    }();
    resolve_training_settings(settings);
    const ModelCost cost = model_cost(settings, arguments->vocabulary, gpu);
    if (arguments->json) {
      fmt::print("{}\n", cost_json(cost, gpu).dump());
    } else {
      fmt::print("{}", cost_table(cost, gpu));
    }
  });
}

}  // namespace

void add_lab_command(CLI::App& app, int& status) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("lab", "Study kernels for a GPU on an emulated one");
  command->add_option("ladder", arguments->ladder, "name of a ladder; none: list them");
  command
      ->add_option("--size", arguments->size,
                   "of the operands (default: the ladder's; for --step a smaller one)")
      ->check(whole_number(1, 8192));
  command->add_option("--gpu", arguments->gpu, "a100, h100, h200 or rtx4090, for which times are computed")
      ->capture_default_str();
  command->add_option("--rung", arguments->rung, "name or number of one rung, which is shown line by line");
  command->add_option("--blocks", arguments->blocks, "how many of a launch's blocks are counted; 0: all")
      ->capture_default_str()
      ->check(whole_number(0, 1000000));
  command
      ->add_option("--svg", arguments->svg,
                   "draw one request of a line of the rung: lanes by sectors or by banks")
      ->check(file_name());
  command->add_option("--line", arguments->line, "which one (default: that which needs most of them)")
      ->check(whole_number(1));
  command
      ->add_option("--device", arguments->device,
                   "time the rungs on this device instead of counting: cuda, or simt, the emulator itself")
      ->check(CLI::IsMember({"cuda", "simt"}));
  command->add_flag("--uncompared", arguments->uncompared,
                    "do not compare results with the cpu's, which takes long for large sizes");
  command->add_flag("--step", arguments->step, "print what warp 0 of block 0 of the rung does, step by step");
  command->add_option("--compiled", arguments->compiled,
                      "table of registers by tools/lab/compile_kernels.sh, of kernels that were changed");
  command->add_flag("--json", arguments->json, "report in JSON");
  add_threads_option(*command);
  add_puzzle_command(*command, status);
  add_model_command(*command);
  command->callback([arguments, command, &status] {
    if (!command->get_subcommands().empty()) return;
    check_rung_options(*arguments, *command);
    if (arguments->ladder.empty()) {
      fmt::print("{}", ladder_list());
    } else {
      status = climb_ladder(*arguments);
    }
  });
}

}  // namespace haze

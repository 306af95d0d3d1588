#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include "haze/engine/cpu/instruction_set.h"
#include "haze/engine/error.h"
#include "haze/engine/parallel.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/version.h"

namespace haze {

void add_threads_option(CLI::App& command) {
  command
      .add_option_function<int>(
          "--threads", [](int count) { set_threads(count); }, "threads to compute with (default: all)")
      ->check(whole_number(1, 1024));
}

namespace {

constexpr int kFailure = 1, kWrongUsage = 2;

int run(int argc, char** argv) {
  CLI::App app("haze: text diffusion models, trained and sampled from scratch", "haze");
  app.set_version_flag(
      "--version", [] { return fmt::format("haze {} ({})", program_version(), name(instruction_set())); });
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(26);
  int status = 0;
  add_train_command(app, status);
  add_sample_command(app, status);
  add_infill_command(app, status);
  add_eval_command(app, status);
  add_data_command(app, status);
  add_bench_command(app, status);
  // Commands that are added later would take it over.
  app.footer(
      "A first run:\n"
      "  haze train --out runs/first --set train.steps=500\n"
      "  haze sample runs/first --trace\n"
      "Every command explains its options: haze train --help.\n"
      "Exit status: 0 success, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.");
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too.
    if (error.get_exit_code() == 0) return app.exit(error);
    fmt::print(stderr, "{}\n", describe_parse_error(app, error));
    return kWrongUsage;
  } catch (const Interrupted& interrupted) {
    fmt::print(stderr, "haze: {}\n", interrupted.what());
    return InterruptGuard::kInterruptedStatus;
  } catch (const std::exception& error) {
    fmt::print(stderr, "haze: {}\n", error.what());
    return kFailure;
  }
  if (std::fflush(stdout) != 0) {
    fmt::print(stderr, "haze: cannot write the output: {}\n", std::strerror(errno));
    return kFailure;
  }
  return status;
}

}  // namespace
}  // namespace haze

int main(int argc, char** argv) {
  return haze::run(argc, argv);
}

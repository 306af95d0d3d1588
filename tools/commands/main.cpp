#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/instruction_set.h"
#include "haze/engine/device.h"
#include "haze/engine/error.h"
#include "haze/engine/library_choice.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/commands/waiting_threads.h"
#include "haze/tools/run/interrupt.h"
#include "haze/tools/run/standard_streams.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/version.h"

namespace haze {

void add_threads_option(CLI::App& command) {
  command
      .add_option_function<int>(
          "--threads", [](int count) { set_threads(count); }, "threads to compute with (default: all)")
      ->check(whole_number(1, 1024));
}

void add_device_option(CLI::App& command, Device& device) {
  command.add_option_function<std::string>(
      "--device",
      [&device](const std::string& text) {
        device = device_named(text);
        runtime(device);  // throws where there is none
      },
      "where the model lies: cpu (default); cuda, an NVIDIA GPU; simt, an emulated GPU, which is slow; "
      "guarded, "
      "the processor behind memory that only kernels touch");
  command
      .add_option_function<std::string>(
          "--matmul",
          [](const std::string& choice) {
            set_matmul_by(choice == "hand" ? MatmulBy::hand : MatmulBy::cublas);
          },
          "what multiplies matrices on a GPU: hand, Haze's own kernels; cublas (default for cuda, where it "
          "is "
          "found; on simt, a stand-in)")
      ->check(CLI::IsMember({"hand", "cublas"}));
  command
      .add_option_function<std::string>(
          "--conv",
          [](const std::string& choice) {
            set_convolution_by(choice == "hand" ? ConvolutionBy::hand : ConvolutionBy::cudnn);
          },
          "what convolves images on a GPU: hand; cudnn (default for cuda, where it is found; on simt, a "
          "stand-in)")
      ->check(CLI::IsMember({"hand", "cudnn"}));
}

namespace {

constexpr int kFailure = 1, kWrongUsage = 2;

void add_help_command(CLI::App& app) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app.add_subcommand("help", "Explain a command: haze help sample, or haze help sample RUN");
  command->add_option("command", *words,
                      "the command, such as sample or data show; then a run, whose options are shown");
  command->callback([&app, words] { fmt::print("{}", help_for(app, *words)); });
}

void add_commands(CLI::App& app, int& status) {
  app.set_version_flag(
      "--version", [] { return fmt::format("haze {} ({})", program_version(), name(instruction_set())); });
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(26);
  add_train_command(app, status);
  add_sample_command(app, status);
  add_infill_command(app, status);
  add_control_command(app, status);
  add_info_command(app, status);
  add_tag_command(app, status);
  add_eval_command(app, status);
  add_data_command(app, status);
  add_compare_command(app, status);
  add_models_command(app, status);
  add_lecture_command(app, status);
  add_lab_command(app, status);
  add_bench_command(app, status);
  add_help_command(app);
  // Commands that are added later would take it over.
  app.footer(
      "A first run:\n"
      "  haze train --out runs/first --set train.steps=500\n"
      "  haze sample runs/first --trace\n"
      "Every command explains its options: haze train --help.\n"
      "Exit status: 0 success, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM,\n"
      "129 because the terminal was closed, 141 because nobody read the output.");
}

/// Runs the command that the words name; the exit status.
int run_command(CLI::App& app, std::vector<std::string> words, const int& status) {
  if (!words.empty() && words.front() == "infill") mark_texts(*app.get_subcommand("infill"), words);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(std::move(words));
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return 0;
  } catch (const CLI::CallForVersion&) {
    fmt::print("{}\n", app.version());
    return 0;
  } catch (const CLI::ParseError& error) {
    say(describe_parse_error(app, error));
    return kWrongUsage;
  }
  return status;
}

/// The exit status. Whatever goes wrong is one sentence on standard error.
int run(const std::vector<std::string>& words) {
  CLI::App app("haze: text diffusion models, trained and sampled from scratch", "haze");
  int status = 0;
  add_commands(app, status);
  int reason = 0;
  try {
    status = run_command(app, words, status);
  } catch (const WrongUsage& error) {
    say(fmt::format("haze: {}", error.what()));
    return kWrongUsage;
  } catch (const Interrupted& interrupted) {
    say(fmt::format("haze: {}", interrupted.what()));
    return interrupted_status(interrupted.signal());
  } catch (const std::bad_alloc&) {
    say("haze: this needs more memory than there is");
    return kFailure;
  } catch (const std::length_error&) {
    say("haze: this needs more memory than there is");
    return kFailure;
  } catch (const std::exception& error) {
    const auto* refused = dynamic_cast<const std::system_error*>(&error);
    const bool is_of_output = refused && std::ferror(stdout) != 0;
    if (!is_of_output) {
      say(fmt::format("haze: {}", error.what()));
      return kFailure;
    }
    reason = refused->code().value();
  }
  return finish_standard_output(status, reason);
}

}  // namespace
}  // namespace haze

int main(int argc, char** argv) {
  haze::prepare_standard_streams();
  // haze bench measures a machine that does nothing else.
  if (argc < 2 || std::string_view(argv[1]) != "bench") haze::shorten_waiting(argv);
  return haze::run({argv + std::min(argc, 1), argv + argc});
}

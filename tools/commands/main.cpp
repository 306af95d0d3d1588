#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include "haze/engine/cpu/parallel.h"
#include "haze/engine/cpu/simd/instruction_set.h"
#include "haze/engine/device.h"
#include "haze/engine/error.h"
#include "haze/engine/library_choice.h"
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

/// Says what went wrong on standard error. Where that cannot be written there is nobody to tell.
void complain(const std::string& sentence) {
  std::fputs((sentence + "\n").c_str(), stderr);
}

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
  add_control_command(app, status);
  add_eval_command(app, status);
  add_data_command(app, status);
  add_compare_command(app, status);
  add_models_command(app, status);
  add_lecture_command(app, status);
  add_lab_command(app, status);
  add_bench_command(app, status);
  // Commands that are added later would take it over.
  app.footer(
      "A first run:\n"
      "  haze train --out runs/first --set train.steps=500\n"
      "  haze sample runs/first --trace\n"
      "Every command explains its options: haze train --help.\n"
      "Exit status: 0 success, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C, 143 by SIGTERM,\n"
      "129 because the terminal was closed.");
  try {
    app.parse(argc, argv);
    if (app.get_subcommands().empty()) fmt::print("{}", app.help());
  } catch (const CLI::ParseError& error) {
    // --help and --version arrive here too.
    if (error.get_exit_code() == 0) return app.exit(error);
    complain(describe_parse_error(app, error));
    return kWrongUsage;
  } catch (const WrongUsage& error) {
    complain(fmt::format("haze: {}", error.what()));
    return kWrongUsage;
  } catch (const Interrupted& interrupted) {
    complain(fmt::format("haze: {}", interrupted.what()));
    return interrupted_status(interrupted.signal());
  } catch (const std::exception& error) {
    complain(fmt::format("haze: {}", error.what()));
    return kFailure;
  }
  if (std::fflush(stdout) != 0) {
    complain(fmt::format("haze: cannot write the output: {}", std::strerror(errno)));
    return kFailure;
  }
  return status;
}

}  // namespace
}  // namespace haze

int main(int argc, char** argv) {
  return haze::run(argc, argv);
}

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <regex>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/bench/attention.h"
#include "haze/bench/kernels.h"
#include "haze/bench/ladder.h"
#include "haze/bench/machine.h"
#include "haze/bench/sampling.h"
#include "haze/bench/step.h"
#include "haze/tools/commands/commands.h"
#include "haze/tools/commands/options.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/roofline.h"

namespace haze {
namespace {

/// What all comparisons take.
struct Arguments {
  std::string filter, plot;
  int repetitions = 0;
  bool json = false;
};

CLI::Validator regular_expression() {
  const auto check = [](const std::string& text) -> std::string {
    try {
      std::regex pattern(text);
    } catch (const std::regex_error&) {
      return fmt::format("takes a regular expression, not '{}'", text);
    }
    return {};
  };
  return CLI::Validator(check, "");
}

CLI::App* add_comparison(CLI::App& bench, const char* name, const char* explanation, Arguments& arguments) {
  CLI::App* command = bench.add_subcommand(name, explanation);
  command
      ->add_option("--filter", arguments.filter, "only rows in whose name this regular expression is found")
      ->check(regular_expression());
  command->add_option("--repetitions", arguments.repetitions, "of which the fastest counts")
      ->capture_default_str()
      ->check(whole_number(1, 1000));
  command->add_option("--plot", arguments.plot, "write a figure (SVG) as well")
      ->check([](const std::string& path) -> std::string {
        std::error_code none;  // what cannot be looked at is not there
        const std::string folder = std::filesystem::path(path).parent_path().string();
        if (std::filesystem::is_directory(path, none)) return fmt::format("'{}' is a folder", path);
        if (folder.empty() || std::filesystem::is_directory(folder, none)) return {};
        return fmt::format("there is no folder '{}'", folder);
      });
  command->add_flag("--json", arguments.json, "report in JSON, a line a row");
  add_threads_option(*command);
  return command;
}

void add_python_option(CLI::App& command, std::string& python) {
  command.add_option("--python", python, "Python with PyTorch, the peer (default: haze alone)")
      ->check([](const std::string& program) -> std::string {
        // A name without a folder is looked for where the system looks for programs.
        const bool is_path = program.empty() || program.find('/') != std::string::npos;
        std::error_code none;  // what cannot be looked at is not there
        if (!is_path || std::filesystem::is_regular_file(program, none)) return {};
        return fmt::format("there is no program '{}'", program);
      });
}

void show_progress(const std::string& row) {
  fmt::print(stderr, "measuring {}\n", row);
}

/// Writes the figure that draw() makes, if one was asked for. Call it after printing what was measured, which
/// is then not lost where the figure cannot be made.
template <typename Draw>
void write_figure(const Arguments& arguments, Draw&& draw) {
  std::fflush(stdout);
  if (!arguments.plot.empty()) write_output_file(arguments.plot, draw());
}

void report(const Arguments& arguments, const std::vector<ComparisonGroup>& groups) {
  fmt::print("{}", arguments.json ? comparison_json_lines(groups) : comparison_table(groups));
  write_figure(arguments,
               [&] { return plot_comparisons_svg(groups, "haze's rate as a multiple of the peer's"); });
}

void print_limits(const MachineLimits& limits) {
  fmt::print(
      "{}: {:.0f} GFLOP/s float32, {:.0f} bfloat16; copying in memory {:.1f} GB/s, second-level cache "
      "{:.0f}, "
      "first-level {:.0f}\n",
      number_of_threads(limits.threads), limits.fma_gflops, limits.bfloat16_gflops, limits.copy_gbytes,
      limits.l2_gbytes, limits.l1_gbytes);
}

void add_kernels_command(CLI::App& bench) {
  struct KernelArguments : Arguments {
    std::string peer = "onednn";
  };
  auto arguments = std::make_shared<KernelArguments>();
  arguments->repetitions = TimerOptions().repetitions;
  CLI::App* command =
      add_comparison(bench, "kernels", "Kernels beside oneDNN's and beside copying", *arguments);
  command
      ->add_option("--peer", arguments->peer,
                   "of products: onednn | blis (float32 only: bfloat16 is left out)")
      ->capture_default_str()
      ->check(CLI::IsMember({"onednn", "blis"}));
  command->callback([arguments] {
    const MatmulPeer peer = arguments->peer == "blis" ? MatmulPeer::blis : MatmulPeer::onednn;
    std::vector<KernelGroup> groups{matmul_kernels(Dtype::float32, peer)};
    if (peer == MatmulPeer::onednn) groups.push_back(matmul_kernels(Dtype::bfloat16, peer));
    if (peer == MatmulPeer::onednn) groups.push_back(convolution_kernels());
    groups.push_back(memory_kernels());
    groups = filtered(std::move(groups), arguments->filter);
    const MachineLimits limits = measure_machine_limits();
    const auto comparisons =
        compare_kernels(groups, {.repetitions = arguments->repetitions}, limits, show_progress);
    if (!arguments->json) print_limits(limits);
    report(*arguments, comparisons);
  });
}

void print_points_json(const MachineLimits& limits, const std::vector<RooflinePoint>& points) {
  const Roof memory = roofs_of(limits).back();
  nlohmann::ordered_json json{{"threads", limits.threads},
                              {"fma_gflops", limits.fma_gflops},
                              {"bfloat16_gflops", limits.bfloat16_gflops},
                              {"copy_gbytes", limits.copy_gbytes},
                              {"l2_gbytes", limits.l2_gbytes},
                              {"l1_gbytes", limits.l1_gbytes},
                              {"kernels", nlohmann::json::array()}};
  for (const RooflinePoint& point : points) {
    json["kernels"].push_back(
        {{"name", point.name},
         {"operations_per_byte", point.intensity},
         {"gflops", point.gflops},
         {"share_of_roofline", point.gflops / roofline(limits.fma_gflops, memory, point.intensity)}});
  }
  fmt::print("{}\n", json.dump());
}

void print_points(const MachineLimits& limits, const std::vector<RooflinePoint>& points) {
  const Roof memory = roofs_of(limits).back();
  print_limits(limits);
  fmt::print("{:<44}{:>16}{:>10}{:>10}{:>10}\n", "kernel", "operations/byte", "GFLOP/s", "roofline", "share");
  for (const RooflinePoint& point : points) {
    const double roof = roofline(limits.fma_gflops, memory, point.intensity);
    fmt::print("{:<44}{:>16.3g}{:>10.4g}{:>10.4g}{:>9.0f}%\n", point.name, point.intensity, point.gflops,
               roof, 100 * point.gflops / roof);
  }
}

void add_machine_command(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  arguments->repetitions = 3;
  CLI::App* command =
      add_comparison(bench, "machine", "The machine's limits, and each kernel on its roofline", *arguments);
  command->callback([arguments] {
    const auto groups =
        filtered({matmul_kernels(Dtype::float32, MatmulPeer::onednn), memory_kernels()}, arguments->filter);
    const MachineLimits limits = measure_machine_limits();
    const auto points = measure_points(groups, {.repetitions = arguments->repetitions}, show_progress);
    arguments->json ? print_points_json(limits, points) : print_points(limits, points);
    write_figure(*arguments, [&] {
      const std::string title = "roofline, " + number_of_threads(limits.threads);
      return plot_roofline_svg(limits.fma_gflops, roofs_of(limits), points, title);
    });
  });
}

void add_ladder_command(CLI::App& bench) {
  auto arguments = std::make_shared<Arguments>();
  arguments->repetitions = 3;
  CLI::App* command = add_comparison(
      bench, "ladder", "The matrix product from three loops to the engine's, each rung beside the one below",
      *arguments);
  command->callback([arguments] {
    report(*arguments,
           compare_ladder(arguments->filter, {.repetitions = arguments->repetitions}, show_progress));
  });
}

void add_precision_option(CLI::App& command, std::string& precision) {
  command.add_option("--precision", precision, "of matrix products: float32 | bfloat16")
      ->capture_default_str()
      ->check(CLI::IsMember({"float32", "bfloat16"}));
}

void add_attention_command(CLI::App& bench) {
  struct AttentionArguments : Arguments {
    std::string python;
  };
  auto arguments = std::make_shared<AttentionArguments>();
  arguments->repetitions = AttentionBenchOptions().repetitions;
  CLI::App* command =
      add_comparison(bench, "attention", "Attention, forward and backward, beside PyTorch's", *arguments);
  add_python_option(*command, arguments->python);
  command->callback([arguments] {
    const AttentionBenchOptions options{arguments->filter, arguments->python, arguments->repetitions};
    report(*arguments, compare_attention(options, show_progress));
  });
}

void add_step_command(CLI::App& bench) {
  struct StepArguments : Arguments {
    StepBenchOptions options;
  };
  auto arguments = std::make_shared<StepArguments>();
  StepBenchOptions& options = arguments->options;
  options.projected = {"all", "masked"};
  arguments->repetitions = options.repetitions;
  CLI::App* command =
      add_comparison(bench, "step", "Training steps and forward passes beside PyTorch's", *arguments);
  add_python_option(*command, options.python);
  command->add_option("--settings", options.settings, "PyTorch's, of which the best counts [all]")
      ->delimiter(',')
      ->check(CLI::IsMember(peer_settings()));
  command->add_option("--projected", options.projected, "positions that PyTorch projects in training")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::IsMember(options.projected));
  add_precision_option(*command, options.precision);
  command->add_option("--seconds", options.seconds, "that a repetition takes at least")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 600.0));
  command->callback([arguments] {
    arguments->options.filter = arguments->filter;
    arguments->options.repetitions = arguments->repetitions;
    report(*arguments, compare_steps(arguments->options, show_progress));
  });
}

void add_sampling_command(CLI::App& bench) {
  struct SamplingArguments : Arguments {
    SamplingBenchOptions options;
  };
  auto arguments = std::make_shared<SamplingArguments>();
  SamplingBenchOptions& options = arguments->options;
  options.batches = {64, 256};
  arguments->repetitions = options.repetitions;
  CLI::App* command =
      add_comparison(bench, "sampling", "Samplers of a trained model beside PyTorch's", *arguments);
  command->add_option("run", options.run, "a run's folder")->required();
  add_python_option(*command, options.python);
  const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 20);
  add_precision_option(*command, options.precision);
  command->add_option("--count", options.count, "sentences")->capture_default_str()->check(positive);
  command->add_option("--length", options.length, "tokens of a sentence")
      ->capture_default_str()
      ->check(positive);
  command->add_option("--steps", options.steps, "of ancestral sampling")
      ->capture_default_str()
      ->check(positive);
  command
      ->add_option("--batches", options.batches,
                   "sentences that PyTorch works on at a time, of which the best counts")
      ->delimiter(',')
      ->capture_default_str()
      ->check(positive);
  command->callback([arguments] {
    arguments->options.filter = arguments->filter;
    arguments->options.repetitions = arguments->repetitions;
    report(*arguments, compare_sampling(arguments->options, show_progress));
  });
}

}  // namespace

void add_bench_command(CLI::App& app, int&) {
  CLI::App* bench = app.add_subcommand("bench", "Measure haze against the machine and against peers");
  bench->require_subcommand(1);
  add_kernels_command(*bench);
  add_machine_command(*bench);
  add_ladder_command(*bench);
  add_attention_command(*bench);
  add_step_command(*bench);
  add_sampling_command(*bench);
}

}  // namespace haze

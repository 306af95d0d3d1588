#include "haze/tools/commands/shown_sampling.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <random>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "haze/tools/commands/options.h"
#include "haze/tools/run/live_text.h"
#include "haze/tools/run/output_file.h"
#include "haze/tools/run/sampling.h"
#include "haze/tools/run/terminal.h"
#include "haze/tools/run/work_observer.h"

namespace haze {
namespace {

constexpr size_t kStepsInFigure = 9;
constexpr int64_t kLongestDelay = 2000;

void require_terminal() {
  if (!terminal_abilities(STDERR_FILENO).interactive)
    throw WrongUsage(
        "--live redraws lines of a terminal, and standard error is none; --trace prints each step");
}

// "8 texts in 0.31 s: 26.1 texts/s, 520 tokens/s, 14.0 network calls a text".
std::string speed_of(const Samples& samples, const Task& task, size_t count, double seconds) {
  const std::string example = task.example();
  const double examples = static_cast<double>(count);
  size_t tokens = 0;
  for (const std::vector<int32_t>& text : samples.texts) tokens += text.size();
  std::string speed = fmt::format("{} {}{} in {:.2f} s: {} {}s/s", count, example, count == 1 ? "" : "s",
                                  seconds, format_count(examples / seconds), example);
  if (tokens > 0) speed += fmt::format(", {} tokens/s", format_count(static_cast<double>(tokens) / seconds));
  if (samples.network_calls > 0) {
    speed += fmt::format(", {:.1f} network calls a {}", static_cast<double>(samples.network_calls) / examples,
                         example);
  }
  return speed;
}

}  // namespace

CLI::Option* SamplingOptions::add_to(CLI::App& command) {
  command.add_option("--seed", seed, "of the random numbers (default: a random one, which is printed)")
      ->check(whole_number(0));
  CLI::Option* traced = command.add_flag("--trace", trace, "show how the first text appears, step by step");
  CLI::Option* in_place =
      command.add_flag("--live", live, "show the first text in place on the terminal, while it appears");
  command.add_option("--delay", delay, "milliseconds that --live waits after each step")
      ->capture_default_str()
      ->check(whole_number(0, kLongestDelay))
      ->needs(in_place);
  command.add_option("--svg", svg, "write a picture of how the first text appears")->check(file_name());
  return traced;
}

uint64_t SamplingOptions::chosen_seed() {
  static const uint64_t random = std::random_device{}();
  return seed.value_or(random);
}

void ShownSamples::say_summary() const {
  // Nothing is to be said of samples that nobody gets.
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::generic_category());
  say(fmt::format("haze: {}", speed));
  if (!seed_used.empty()) say(fmt::format("haze: {}", seed_used));
}

ShownSamples draw_shown(const SavedModel& saved, std::span<const Request> requests,
                        SamplingOptions& options) {
  const Task& task = *saved.task;
  if (options.live) require_terminal();
  std::optional<TraceKeeper> keeper;
  if (options.trace || options.live || !options.svg.empty()) keeper.emplace(task, requests.front());
  std::optional<LiveText> live;
  std::chrono::duration<double> waited{0};  // is no part of the speed
  if (options.live) {
    live.emplace(ProgressOutput::standard_error(), TraceStyle::for_stream(STDERR_FILENO), [&] {
      const auto begin = std::chrono::steady_clock::now();
      std::this_thread::sleep_for(std::chrono::milliseconds(options.delay));
      waited += std::chrono::steady_clock::now() - begin;
    });
  }
  const InterruptGuard interrupt;
  WorkObserver work("sampling", interrupt);
  const auto observer = [&](const Snapshot& snapshot) {
    if (keeper) keeper->observe(snapshot);
    if (live) {
      if (interrupt.requested()) throw Interrupted(interrupt.signal());
      live->show(keeper->trace());
    } else {
      work.update(snapshot.step, snapshot.steps);
    }
  };
  const uint64_t seed = options.chosen_seed();
  const auto begin = std::chrono::steady_clock::now();
  Samples samples = draw_samples(*saved.model, task, saved.settings, requests, seed, observer);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin - waited;
  live.reset();
  if (options.trace) fmt::print("{}\n", render_trace(keeper->trace(), TraceStyle::for_stream(STDOUT_FILENO)));
  if (!options.svg.empty()) {
    write_output_file(options.svg,
                      trace_svg(choose_steps(keeper->trace(), kStepsInFigure), "haze: a text appears"));
  }
  const std::string speed = speed_of(samples, task, requests.size(), taken.count());
  return {std::move(samples), speed,
          options.seed ? "" : fmt::format("seed {0}: --seed {0} repeats this", seed)};
}

}  // namespace haze

#include "haze/bench/sampling.h"

#include <chrono>
#include <regex>

#include <fmt/format.h>

#include "haze/bench/peer_process.h"
#include "haze/engine/parallel.h"
#include "haze/nn/safetensors.h"
#include "haze/tools/run/text_model.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

struct Sampler {
  const char* name;
  bool first_hitting;
};
constexpr Sampler kSamplers[] = {{"ancestral", false}, {"first-hitting", true}};

/// The weights that sampling uses, averaged where the run averages, in a file of their own for the peer.
std::filesystem::path write_weights(TextModel& model) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / "haze_bench_sampling.safetensors";
  write_safetensors(path, parameter_tensors(model.denoiser()));
  return path;
}

double sentences_a_second(TextModel& model, const Sampler& sampler, const SamplingBenchOptions& options) {
  const std::vector<Canvas> start(static_cast<size_t>(options.count), Canvas::open(options.length));
  const MaskingSchedule schedule;
  Generator generator(1);
  const auto begin = std::chrono::steady_clock::now();
  if (sampler.first_hitting) {
    first_hitting_sample(model.denoiser(), start, schedule, generator);
  } else {
    const SamplingGrid grid = sampling_grid(schedule, static_cast<int>(options.steps));
    ancestral_sample(model.denoiser(), start, grid, generator);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(options.count) / seconds.count();
}

std::vector<std::string> peer_arguments(const TextModel& model, const Sampler& sampler, int64_t batch,
                                        const std::filesystem::path& weights,
                                        const SamplingBenchOptions& options) {
  const Settings& settings = model.settings();
  const auto number = [](const char* option, int64_t value) { return fmt::format("--{}={}", option, value); };
  return {"--weights=" + weights.string(),
          number("vocabulary", model.tokenizer().vocabulary_size()),
          number("layers", settings.integer("model.layers")),
          number("hidden", settings.integer("model.hidden")),
          number("heads", settings.integer("model.heads")),
          number("max-length", settings.integer("data.max_length")),
          "--norm=" + settings.text("model.norm"),
          "--positions=" + settings.text("model.positions"),
          "--precision=" + options.precision,
          "--sampler=" + std::string(sampler.name),
          number("count", options.count),
          number("length", options.length),
          number("steps", options.steps),
          number("batch", batch),
          number("threads", threads())};
}

Comparison compare(TextModel& model, const Sampler& sampler, const std::filesystem::path& weights,
                   const SamplingBenchOptions& options,
                   const std::function<void(const std::string&)>& progress) {
  Comparison row{.name = sampler.name, .unit = "sentences/s"};
  const auto measure_ours = [&] {
    row.ours = std::max(row.ours, sentences_a_second(model, sampler, options));
  };
  progress(sampler.name);
  if (options.python.empty()) {
    for (int i = 0; i < options.repetitions; ++i) measure_ours();
    return row;
  }
  for (const int64_t batch : options.batches) {
    progress(fmt::format("{}: PyTorch, {} sentences at a time", sampler.name, batch));
    PeerProcess peer(options.python, "sampling.py", peer_arguments(model, sampler, batch, weights, options));
    for (int i = 0; i < options.repetitions; ++i) {
      measure_ours();
      const double theirs = peer.measure().at("sentences_per_second");
      if (row.peer.value_or(0) >= theirs) continue;
      row.peer = theirs;
      row.setting = fmt::format("{} at a time", batch);
    }
  }
  return row;
}

}  // namespace

std::vector<ComparisonGroup> compare_sampling(const SamplingBenchOptions& options,
                                              const std::function<void(const std::string&)>& progress) {
  const std::unique_ptr<TextModel> model = TextModel::load(options.run);
  const PrecisionScope precision(precision_called(options.precision));
  if (options.length > model->settings().integer("data.max_length")) {
    fail("{}: the model takes {} tokens at most, not {}", options.run,
         model->settings().integer("data.max_length"), options.length);
  }
  const std::filesystem::path weights = write_weights(*model);
  ComparisonGroup group{
      fmt::format("sampling, length {}, {}", options.length, options.precision), "PyTorch", {}};
  for (const Sampler& sampler : kSamplers) {
    if (std::regex_search(sampler.name, std::regex(options.filter))) {
      group.rows.push_back(compare(*model, sampler, weights, options, progress));
    }
  }
  std::filesystem::remove(weights);
  if (group.rows.empty()) fail("--filter {}: no sampler has such a name", options.filter);
  return {group};
}

}  // namespace haze

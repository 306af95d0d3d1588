#include "haze/bench/sampling.h"

#include <chrono>
#include <regex>

#include <fmt/format.h>

#include "haze/bench/peer_process.h"
#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/first_hitting_sampler.h"
#include "haze/diffusion/discrete/masked_model.h"
#include "haze/engine/cpu/parallel.h"
#include "haze/nn/safetensors.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

struct BenchSampler {
  const char* name;
  bool first_hitting;
};
constexpr BenchSampler kSamplers[] = {{"ancestral", false}, {"first-hitting", true}};

const Denoiser& denoiser_of(const SavedModel& saved) {
  const auto* model = dynamic_cast<const MaskedModel*>(saved.model.get());
  if (!model)
    fail("bench sampling is for masked diffusion, not for the model {}", saved.settings.text("model"));
  return model->denoiser();
}

/// The weights that sampling uses, averaged where the run averages, in a file of their own for the peer.
std::filesystem::path write_weights(Model& model) {
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / "haze_bench_sampling.safetensors";
  write_safetensors(path, parameter_tensors(model));
  return path;
}

double sentences_a_second(const Denoiser& denoiser, const BenchSampler& sampler,
                          const SamplingBenchOptions& options) {
  const std::vector<Request> requests(static_cast<size_t>(options.count), open_text(options.length));
  const MaskingSchedule schedule;
  Generator generator(1);
  const auto begin = std::chrono::steady_clock::now();
  if (sampler.first_hitting) {
    first_hitting_sample(denoiser, requests, schedule, {}, generator);
  } else {
    ancestral_sample(denoiser, requests, SamplingGrid(schedule, static_cast<int>(options.steps)), {},
                     generator);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(options.count) / seconds.count();
}

// How the peer calls norms that are steered by time.
std::string norm_of(const Settings& settings) {
  const bool adaptive = settings.text("transformer.time") == "adaptive";
  return adaptive ? "adaptive" : settings.text("transformer.norm");
}

std::vector<std::string> peer_arguments(const SavedModel& saved, const BenchSampler& sampler, int64_t batch,
                                        const std::filesystem::path& weights,
                                        const SamplingBenchOptions& options) {
  const Settings& settings = saved.settings;
  const auto number = [](const char* option, int64_t value) { return fmt::format("--{}={}", option, value); };
  return {"--weights=" + weights.string(),
          number("vocabulary", saved.task->facts().vocabulary),
          number("layers", settings.integer("transformer.layers")),
          number("hidden", settings.integer("transformer.hidden")),
          number("heads", settings.integer("transformer.heads")),
          number("max-length", settings.integer("data.max_length")),
          "--norm=" + norm_of(settings),
          "--positions=" + settings.text("transformer.positions"),
          "--precision=" + options.precision,
          "--sampler=" + std::string(sampler.name),
          number("count", options.count),
          number("length", options.length),
          number("steps", options.steps),
          number("batch", batch),
          number("threads", threads())};
}

Comparison compare(const SavedModel& saved, const BenchSampler& sampler, const std::filesystem::path& weights,
                   const SamplingBenchOptions& options,
                   const std::function<void(const std::string&)>& progress) {
  Comparison row{.name = sampler.name, .unit = "sentences/s"};
  const auto measure_ours = [&] {
    row.ours = std::max(row.ours, sentences_a_second(denoiser_of(saved), sampler, options));
  };
  progress(sampler.name);
  if (options.python.empty()) {
    for (int i = 0; i < options.repetitions; ++i) measure_ours();
    return row;
  }
  for (const int64_t batch : options.batches) {
    progress(fmt::format("{}: PyTorch, {} sentences at a time", sampler.name, batch));
    PeerProcess peer(options.python, "sampling.py", peer_arguments(saved, sampler, batch, weights, options));
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
  const SavedModel saved = load_model(options.run);
  denoiser_of(saved);  // for its refusal
  const PrecisionScope precision(precision_called(options.precision));
  if (options.length > saved.settings.integer("data.max_length")) {
    fail("{}: the model takes {} tokens at most, not {}", options.run,
         saved.settings.integer("data.max_length"), options.length);
  }
  const std::filesystem::path weights = write_weights(*saved.model);
  ComparisonGroup group{
      fmt::format("sampling, length {}, {}", options.length, options.precision), "PyTorch", {}};
  for (const BenchSampler& sampler : kSamplers) {
    if (std::regex_search(sampler.name, std::regex(options.filter))) {
      group.rows.push_back(compare(saved, sampler, weights, options, progress));
    }
  }
  std::filesystem::remove(weights);
  if (group.rows.empty()) fail("--filter {}: no sampler has such a name", options.filter);
  return {group};
}

}  // namespace haze

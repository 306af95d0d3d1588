#include "haze/tools/lab/model_cost.h"

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "haze/autograd/variable.h"
#include "haze/engine/memory.h"
#include "haze/nn/ema.h"
#include "haze/nn/optimizer.h"
#include "haze/nn/parameter_groups.h"
#include "haze/tools/run/models.h"
#include "haze/tools/run/saved_model.h"
#include "haze/tools/run/training_settings.h"

namespace haze {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kGiga = 1e9, kTera = 1e12, kMilli = 1e3;

void add(CostRow& row, const ProfileCall& call, const Gpu& gpu) {
  const double arithmetic = call.flops / gpu.peak(call.bfloat16 ? Arithmetic::bfloat16 : Arithmetic::float32),
               memory = call.bytes / gpu.memory_bandwidth;
  ++row.calls;
  row.flops += call.flops;
  row.bytes += call.bytes;
  row.seconds += std::max(arithmetic, memory);
  if (arithmetic > memory) row.arithmetic_seconds += arithmetic;
}

/// Rows by a key of the calls.
template <typename Key>
std::vector<CostRow> rows_by(const Profile& profile, const Gpu& gpu, Key&& key) {
  std::vector<CostRow> rows;
  std::map<std::pair<std::string, std::string>, size_t> known;
  for (const ProfileCall& call : profile.calls) {
    const auto [entry, is_new] = known.try_emplace(key(call), rows.size());
    if (is_new) rows.push_back({.name = entry->first.first, .phase = entry->first.second});
    add(rows[entry->second], call, gpu);
  }
  return rows;
}

/// Full texts of tokens that are drawn evenly.
Batch invented_texts(int64_t count, int64_t length, int64_t vocabulary) {
  std::mt19937_64 random(1);
  std::uniform_int_distribution<int32_t> token(0, static_cast<int32_t>(vocabulary - 1));
  std::vector<std::vector<int32_t>> texts(static_cast<size_t>(count));
  for (auto& text : texts) {
    text.resize(static_cast<size_t>(length));
    for (int32_t& id : text) id = token(random);
  }
  return {.target = TextBatch::of(std::span<const std::vector<int32_t>>(texts))};
}

/// A step whose kernels are skipped, phase by phase.
class SkippedStep {
 public:
  SkippedStep(const Settings& settings, int64_t vocabulary) : settings_(settings), generator_(1) {
    const DataFacts facts{.vocabulary = vocabulary,
                          .mask_id = static_cast<int32_t>(vocabulary),
                          .end_id = 0,
                          .max_length = settings.integer("data.max_length")};
    {
      const ProfileScope scope(initial_, Kernels::skipped);
      model_ = make_model(settings, facts, generator_, Purpose::training, Device::cpu);
      if (settings.real("optimizer.ema") > 0)
        ema_.emplace(model_->parameters(), settings.real("optimizer.ema"));
    }
    groups_ = parameter_groups(model_->parameters(), settings.text("optimizer.groups"));
    optimizer_ = make_optimizer();
    batch_ = model_->prepare(
        invented_texts(settings.integer("train.batch_size"), facts.max_length, vocabulary), 0, generator_);
  }

  /// Two steps, since the optimiser makes its state in the first; the second one's calls.
  Profile run() {
    phase_peaks_.clear();
    Profile first, second;
    step(first);
    step(second);
    return second;
  }
  double peak_bytes(const std::string& phase) const { return phase_peaks_.at(phase); }
  double parameters() const { return static_cast<double>(model_->parameter_count()); }

 private:
  std::unique_ptr<Optimizer> make_optimizer() const {
    const std::string& kind = settings_.text("optimizer.kind");
    if (kind == "adagrad") return std::make_unique<Adagrad>(groups_, AdagradHyperparameters{});
    if (kind == "sgd") return std::make_unique<Sgd>(groups_, SgdHyperparameters{});
    return std::make_unique<AdamW>(groups_, AdamWHyperparameters{});
  }

  void step(Profile& profile) {
    const PrecisionScope precision(precision_called(settings_.text("train.precision")));
    const ProfileScope scope(profile, Kernels::skipped);
    ProfilePhase phase("forward");
    Loss loss;
    model_->clear_gradients();
    for (int64_t i = 0; i < settings_.integer("train.accumulate"); ++i) {
      if (i > 0) phase.next("forward");
      measured("forward", [&] { loss = model_->loss(batch_, 0, {true, &generator_}); });
      phase.next("backward");
      measured("backward", [&] { backward(loss.total); });
      loss = {};
    }
    phase.next("optimizer");
    measured("optimizer", [&] {
      optimizer_->step(settings_.real("optimizer.learning_rate"),
                       device_clip_scale(groups_, settings_.real("optimizer.clip_norm")));
      if (ema_) ema_->update();
    });
  }

  template <typename F>
  void measured(const std::string& phase, F&& f) {
    reset_peak_memory();
    f();
    double& peak = phase_peaks_[phase];
    peak = std::max(peak, static_cast<double>(memory_statistics().peak));
  }

  const Settings& settings_;
  Generator generator_;
  Profile initial_;
  std::unique_ptr<Model> model_;
  std::vector<ParameterGroup> groups_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<Ema> ema_;
  Batch batch_;
  std::map<std::string, double> phase_peaks_;
};

std::string size_of_memory(double bytes) {
  return bytes < kGiga ? fmt::format("{:.1f} MB", bytes / 1e6) : fmt::format("{:.1f} GB", bytes / kGiga);
}

std::string line_of(const CostRow& row, size_t width, double seconds) {
  return fmt::format(
      "{:<{}}  {:<9}  {:>6.0f}  {:>10.3f}  {:>8.2f}  {:>9.3f}  {:>5.1f}%  {:>10}\n", row.name, width,
      row.phase, row.calls, row.flops / kTera, row.bytes / kGiga, row.seconds * kMilli,
      100 * row.seconds / seconds,
      fmt::format("{:.0f}%", row.seconds > 0 ? 100 * row.arithmetic_seconds / row.seconds : 0));
}

Json json_of(const CostRow& row) {
  return {{"name", row.name},   {"phase", row.phase}, {"calls", row.calls},
          {"flops", row.flops}, {"bytes", row.bytes}, {"ms", row.seconds * kMilli}};
}

}  // namespace

double ModelCost::seconds() const {
  double sum = 0;
  for (const CostRow& phase : phases) sum += phase.seconds;
  return sum;
}
double ModelCost::flops() const {
  double sum = 0;
  for (const CostRow& phase : phases) sum += phase.flops;
  return sum;
}
double ModelCost::peak_bytes() const {
  double peak = 0;
  for (const CostRow& phase : phases) peak = std::max(peak, phase.peak_bytes);
  return peak;
}

std::vector<CostRow> phase_costs(const Profile& profile, const Gpu& gpu) {
  return rows_by(profile, gpu, [](const ProfileCall& call) {
    return std::pair<std::string, std::string>(call.phase, call.phase);
  });
}

ModelCost model_cost(const Settings& settings, int64_t vocabulary, const Gpu& gpu) {
  if (settings.text("data.task") != "texts") {
    fail("the model {} does not learn texts, and only steps on texts can be invented",
         settings.text("model"));
  }
  SkippedStep step(settings, vocabulary);
  const Profile profile = step.run();
  ModelCost cost;
  cost.parameters = step.parameters();
  cost.tokens =
      static_cast<double>(settings.integer("train.batch_size") * settings.integer("train.accumulate") *
                          settings.integer("data.max_length"));
  cost.phases = phase_costs(profile, gpu);
  for (CostRow& phase : cost.phases) phase.peak_bytes = step.peak_bytes(phase.name);
  cost.operations = rows_by(profile, gpu, [](const ProfileCall& call) {
    return std::pair<std::string, std::string>(call.operation, call.phase);
  });
  std::stable_sort(cost.operations.begin(), cost.operations.end(),
                   [](const CostRow& a, const CostRow& b) { return a.seconds > b.seconds; });
  return cost;
}

std::string cost_table(const ModelCost& cost, const Gpu& gpu) {
  constexpr size_t kShown = 12;
  size_t width = 9;
  for (size_t i = 0; i < std::min(kShown, cost.operations.size()); ++i)
    width = std::max(width, cost.operations[i].name.size());
  std::string text = fmt::format("{:.1f} million parameters, {:.0f} tokens a step, on {}\n\n",
                                 cost.parameters / 1e6, cost.tokens, gpu.title);
  text += fmt::format("{:<10}  {:>6}  {:>10}  {:>8}  {:>9}  {:>6}  {:>10}  {:>9}\n", "phase", "calls",
                      "TFLOP", "GB", "ms", "step", "arithmetic", "memory");
  for (const CostRow& row : cost.phases) {
    text += fmt::format(
        "{:<10}  {:>6.0f}  {:>10.3f}  {:>8.2f}  {:>9.3f}  {:>5.1f}%  {:>10}  {:>9}\n", row.name, row.calls,
        row.flops / kTera, row.bytes / kGiga, row.seconds * kMilli, 100 * row.seconds / cost.seconds(),
        fmt::format("{:.0f}%", 100 * row.arithmetic_seconds / row.seconds), size_of_memory(row.peak_bytes));
  }
  text += fmt::format("\n{:<{}}  {:<9}  {:>6}  {:>10}  {:>8}  {:>9}  {:>6}  {:>10}\n", "operation", width,
                      "phase", "calls", "TFLOP", "GB", "ms", "step", "arithmetic");
  CostRow others;
  for (size_t i = 0; i < cost.operations.size(); ++i) {
    const CostRow& row = cost.operations[i];
    if (i < kShown) {
      text += line_of(row, width, cost.seconds());
      continue;
    }
    others.name = fmt::format("{} smaller", i + 1 - kShown);
    others.calls += row.calls;
    others.flops += row.flops;
    others.bytes += row.bytes;
    others.seconds += row.seconds;
    others.arithmetic_seconds += row.arithmetic_seconds;
  }
  if (others.calls > 0) text += line_of(others, width, cost.seconds());
  text += fmt::format(
      "\na step takes at least {:.3f} ms: {:.0f} tokens a second, {:.1f} TFLOP/s, of {:.0f} in float32 and "
      "{:.0f} in "
      "bfloat16\n"
      "it needs {} of memory; {} has {}\n"
      "arithmetic: share of the time in calls that it limits, rather than memory\n",
      cost.seconds() * kMilli, cost.tokens / cost.seconds(), cost.flops() / cost.seconds() / kTera,
      gpu.peak(Arithmetic::float32) / kTera, gpu.peak(Arithmetic::bfloat16) / kTera,
      size_of_memory(cost.peak_bytes()), gpu.title, size_of_memory(gpu.memory_bytes));
  return text;
}

Json cost_json(const ModelCost& cost, const Gpu& gpu) {
  Json json{{"gpu", gpu.name},         {"parameters", cost.parameters},
            {"tokens", cost.tokens},   {"ms", cost.seconds() * kMilli},
            {"flops", cost.flops()},   {"memory_bytes", cost.peak_bytes()},
            {"phases", Json::array()}, {"operations", Json::array()}};
  for (const CostRow& row : cost.phases) {
    json["phases"].push_back(json_of(row));
    json["phases"].back()["memory_bytes"] = row.peak_bytes;
  }
  for (const CostRow& row : cost.operations) json["operations"].push_back(json_of(row));
  return json;
}

}  // namespace haze

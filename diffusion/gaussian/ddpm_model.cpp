#include <memory>
#include <utility>

#include "haze/diffusion/gaussian/ddpm.h"
#include "haze/diffusion/gaussian/ddpm_bound.h"
#include "haze/diffusion/gaussian/loss_history.h"
#include "haze/diffusion/gaussian/noisy_classifier.h"
#include "haze/diffusion/gaussian/value_examples.h"
#include "haze/nn/value_network.h"

namespace haze {
namespace {

// A choice's name, and what it stands for.
template <typename T>
using Named = std::pair<const char*, T>;

constexpr Named<Parameterisation> kPredictions[] = {
    {"epsilon", Parameterisation::epsilon}, {"x_0", Parameterisation::x_0}, {"v", Parameterisation::v}};
constexpr Named<DdpmLoss> kLosses[] = {{"simple", DdpmLoss::simple},
                                       {"l1", DdpmLoss::l1},
                                       {"bound", DdpmLoss::bound},
                                       {"hybrid", DdpmLoss::hybrid}};
constexpr Named<ReverseVariance> kVariances[] = {{"large", ReverseVariance::large},
                                                 {"small", ReverseVariance::small},
                                                 {"learned", ReverseVariance::learned}};

template <typename T, size_t n>
std::vector<std::string> names_of(const Named<T> (&table)[n]) {
  std::vector<std::string> names;
  for (const auto& [name, value] : table) names.emplace_back(name);
  return names;
}

template <typename T, size_t n>
T called(const Settings& settings, const std::string& key, const Named<T> (&table)[n]) {
  for (const auto& [name, value] : table) {
    if (settings.text(key) == name) return value;
  }
  fail("{} = '{}' is not known", key, settings.text(key));
}

GaussianDiffusion diffusion_of(const Settings& settings, const DataFacts& facts) {
  const auto steps = static_cast<int>(settings.integer("ddpm.steps"));
  return {.schedule = noise_schedule_called(settings.text("ddpm.schedule"), steps),
          .prediction = called(settings, "ddpm.prediction", kPredictions),
          .variance = called(settings, "ddpm.variance", kVariances),
          .value_levels = facts.value_levels};
}

// Steps that a sampler takes of `steps`. A request may change sample.steps long after a run's settings were
// checked.
int sampled_steps(const Settings& settings, int64_t steps) {
  const int64_t sampled = settings.integer("sample.steps");
  if (sampled > steps) fail("sample.steps is {}, more than the {} of ddpm.steps", sampled, steps);
  return static_cast<int>(sampled == 0 ? steps : sampled);
}

class Ddpm : public Model, private Sampler, private Likelihood {
 public:
  Ddpm(const Settings& settings, const DataFacts& facts, const FrozenModels& frozen, Generator& generator)
      : shape_(example_shape(facts, "ddpm")),
        diffusion_(diffusion_of(settings, facts)),
        loss_(called(settings, "ddpm.loss", kLosses)),
        network_(settings, shape_, diffusion_.variance == ReverseVariance::learned ? 2 : 1, generator) {
    add_module("", network_);
    if (!frozen.empty()) classifier_ = classifier_of(frozen[0], "sample.classifier", shape_);
    if (settings.text("ddpm.step_draw") == "importance") {
      history_ = std::make_unique<LossHistory>(diffusion_.schedule.steps());
      add_module("loss_history", *history_);
    }
  }

  // Algorithm 1 of the paper: x_0 of line 2 is the batch.
  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    const Tensor& x_0 = values_of(batch, shape_, "ddpm");
    const WeightedSteps steps =
        history_  // line 3
            ? history_->draw(x_0.size(0), generator)
            : WeightedSteps{spread_steps(x_0.size(0), diffusion_.schedule, generator), {}};
    NoisyValues noisy = add_noise(diffusion_.schedule, x_0, steps.t, generator);  // line 4
    noisy.weights = steps.weights;
    // The others look up numbers of their steps on the host.
    noisy.is_all_of_loss = !history_ && diffusion_.prediction != Parameterisation::v &&
                           (loss_ == DdpmLoss::simple || loss_ == DdpmLoss::l1);
    batch.prepared = std::make_shared<NoisyValues>(std::move(noisy));
    return batch;
  }

  Loss loss(const Batch& batch, size_t, const ForwardContext& context) const override {
    const auto* noisy = dynamic_cast<const NoisyValues*>(batch.prepared.get());
    if (!noisy) fail("ddpm: the batch has not been prepared");
    const DdpmPrediction prediction = network(context)(noisy->x_t, cast(noisy->t, Dtype::float32));
    const Variable losses = ddpm_losses(diffusion_, loss_, prediction, *noisy);  // line 5
    // The history is part of the training's state, and nothing else may change it.
    if (history_ && context.training) history_->add(noisy->t, losses.value());
    const Variable total = weighted_mean(losses, noisy->weights);
    NamedTensors inputs = {{"x_t", noisy->x_t}, {"t", noisy->t}, {"noise", noisy->noise}};
    if (noisy->weights.defined()) inputs.push_back({"weights", noisy->weights});
    return {.total = total, .log = log_of(total), .inputs = std::move(inputs)};
  }

  const Sampler* sampler() const override { return this; }
  const Likelihood* likelihood() const override { return this; }

 private:
  Uses uses() const override { return {.label = classifier_ != nullptr}; }

  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    const Settings& settings = options.settings;
    const std::vector<NoiseLevel> levels =
        sampling_levels(settings, diffusion_.schedule, sampled_steps(settings, diffusion_.schedule.steps()));
    GaussianDenoiser denoise = ddpm_denoiser(network(), diffusion_);
    if (diffusion_.value_levels > 0 && settings.boolean("sample.clip")) denoise = clipped(denoise, -1, 1);
    const LogProbabilityGradient gradient = gradient_for(requests, classifier_, "ddpm");
    const LevelSampler sampler = [&](const GaussianDenoiser& asked, std::span<const NoiseLevel> falling,
                                     Tensor x, const NoiseSource& noise, const LevelObserver& observe) {
      return sample_levels(settings, asked, falling, diffusion_.variance, std::move(x), noise, observe,
                           gradient);
    };
    return sample_from_noise(denoise, levels, sampler, std::ssize(requests), shape_, options.observer,
                             generator, device());
  }

  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    return ddpm_bound_nats(network(), diffusion_, values_of(batch, shape_, "ddpm"), generator);
  }

  // Term T holds the prior's.
  int64_t terms() const override { return diffusion_.schedule.steps(); }

  std::vector<double> term_nats(const Batch& batch, int64_t term, Generator& generator) const override {
    if (term < 1 || term > terms()) fail("ddpm: term {} of the bound is not in 1..{}", term, terms());
    const Tensor& x_0 = values_of(batch, shape_, "ddpm");
    const Tensor t = full({x_0.size(0)}, static_cast<double>(term), Dtype::int32);
    std::vector<double> nats = ddpm_term_nats(network(), diffusion_, x_0, t, generator);
    if (term < terms()) return nats;
    const std::vector<double> prior = ddpm_prior_nats(diffusion_.schedule, x_0);
    for (size_t i = 0; i < nats.size(); ++i) nats[i] += prior[i];
    return nats;
  }

  NamedTensors log_of(const Variable& total) const {
    if (loss_ == DdpmLoss::simple) return {{"squared_error", total.value()}};
    if (loss_ == DdpmLoss::l1) return {{"absolute_error", total.value()}};
    return {};
  }

  DdpmNetwork network(const ForwardContext& context = {}) const {
    return [this, context](const Tensor& x_t, const Tensor& t) -> DdpmPrediction {
      const Tensor time = haze::to(scale_shift(t, 1.0 / diffusion_.schedule.steps(), 0), x_t.device());
      const Variable output = network_.forward(x_t, time, context);
      if (diffusion_.variance != ReverseVariance::learned) return {output, {}};
      // The first half is the prediction. Of the second, 0 lies halfway between the two fixed variances.
      const int64_t half = shape_[0];
      return {slice(output, 1, 0, half), slice(output, 1, half, 2 * half) * 0.5 + 0.5};
    };
  }

  Shape shape_;
  GaussianDiffusion diffusion_;
  DdpmLoss loss_;
  ValueNetwork network_;
  std::unique_ptr<LossHistory> history_;               // null where t is drawn uniformly
  std::shared_ptr<const NoisyClassifier> classifier_;  // null: samples are not guided
};

void refuse_contradictions(const Settings& settings) {
  const std::string &loss = settings.text("ddpm.loss"), &variance = settings.text("ddpm.variance");
  if (variance == "learned" && (loss == "simple" || loss == "l1"))
    fail(
        "ddpm.loss \"{}\" says nothing of the variance: ddpm.variance \"learned\" needs \"hybrid\" or "
        "\"bound\"",
        loss);
  if (variance != "learned" && loss == "hybrid")
    fail("ddpm.loss \"hybrid\" is for a variance that is learned, and ddpm.variance is \"{}\"", variance);
  sampled_steps(settings, settings.integer("ddpm.steps"));
}

SettingsTable ddpm_settings() {
  SettingsTable table = {
      integer_setting("ddpm.steps", 200, between(2, 100000), "T, steps from data to noise"),
      since(3, choice_setting("ddpm.schedule", "linear", noise_schedule_names(),
                              "of the noise; linear is that of the paper's 1000 steps, scaled")),
      since(3, choice_setting("ddpm.prediction", "epsilon", names_of(kPredictions),
                              "what the network predicts: the noise, the data, or v")),
      since(3, choice_setting("ddpm.loss", "simple", names_of(kLosses),
                              "L_simple, absolute error, the bound, or L_simple + 0.001 bound")),
      choice_setting("ddpm.variance", "large", names_of(kVariances),
                     "of a reverse step: beta_t, that of the posterior, or between the two"),
      since(3, choice_setting("ddpm.step_draw", "uniform", {"uniform", "importance"},
                              "t of a training example; importance: where losses are large")),
  };
  for (const Setting& setting : value_network_settings()) table.push_back(setting);
  for (const Setting& setting : level_sampler_settings()) table.push_back(setting);
  table.push_back(since(3, integer_setting("sample.steps", 0, between(0, 1 << 20),
                                           "steps of sampling, evenly chosen of ddpm.steps; 0: all")));
  for (const Setting& setting : guidance_settings()) table.push_back(since(3, setting));
  return table;
}

}  // namespace

ModelInfo ddpm_model() {
  ModelInfo info;
  info.name = "ddpm";
  info.paper = "Ho et al. 2020, Denoising diffusion probabilistic models";
  info.tasks = {"tensors"};
  info.settings = ddpm_settings();
  info.frozen = {"sample.classifier"};
  info.resolve = [](Settings& settings) {
    check_value_network_settings(settings);
    refuse_contradictions(settings);
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<Ddpm>(settings, facts, frozen, generator);
  };
  return info;
}

}  // namespace haze

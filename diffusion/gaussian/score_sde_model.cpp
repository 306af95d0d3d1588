#include <cmath>
#include <memory>

#include "haze/diffusion/gaussian/level_samplers.h"
#include "haze/diffusion/gaussian/noisy_classifier.h"
#include "haze/diffusion/gaussian/per_example.h"
#include "haze/diffusion/gaussian/predictor_corrector_sampler.h"
#include "haze/diffusion/gaussian/reverse_sde_sampler.h"
#include "haze/diffusion/gaussian/score_sde.h"
#include "haze/diffusion/gaussian/sde_settings.h"
#include "haze/diffusion/gaussian/value_examples.h"
#include "haze/nn/value_network.h"

namespace haze {
namespace {

constexpr const char* kName = "score_sde";

// With more numbers than this in an example, "auto" estimates the trace: an exact one takes a backward pass
// for each number.
constexpr int64_t kMostForExactTrace = 4;

// Networks embed 1000 t (positions.h), which turns 160 times from t = 0 to 1. The flow would turn with it,
// and the solver would follow each turn.
constexpr double kTimeScale = 0.1;

TraceEstimate trace_of(const Settings& settings, const Shape& example) {
  const std::string& name = settings.text("score_sde.trace");
  if (name == "rademacher") return TraceEstimate::rademacher;
  if (name == "gaussian") return TraceEstimate::gaussian;
  const bool exact = name == "exact" || example.elements() <= kMostForExactTrace;
  return exact ? TraceEstimate::exact : TraceEstimate::rademacher;
}

class ScoreSde : public Model, private Sampler, private Likelihood {
 public:
  ScoreSde(const Settings& settings, const DataFacts& facts, const FrozenModels& frozen, Generator& generator)
      : shape_(example_shape(facts, kName)),
        value_levels_(facts.value_levels),
        sde_(sde_from(settings, kName)),
        weighting_(settings.text("score_sde.weighting") == "noise" ? TimeWeighting::noise
                                                                   : TimeWeighting::likelihood),
        trace_(trace_of(settings, shape_)),
        tolerance_{settings.real("score_sde.tolerance"), settings.real("score_sde.tolerance")},
        network_(settings, shape_, 1, generator) {
    add_module("", network_);
    if (!frozen.empty()) classifier_ = classifier_of(frozen[0], "sample.classifier", shape_);
  }

  Batch prepare(Batch batch, size_t, Generator& generator) const override {
    const Tensor& x_0 = values_of(batch, shape_, kName);
    std::vector<double> times = draw_times(sde_, weighting_, x_0.size(0), generator);
    batch.prepared = std::make_shared<NoisyAtTimes>(add_sde_noise(sde_, x_0, std::move(times), generator));
    return batch;
  }

  Loss loss(const Batch& batch, size_t, const ForwardContext& context) const override {
    const auto* noisy = dynamic_cast<const NoisyAtTimes*>(batch.prepared.get());
    if (!noisy) fail("{}: the batch has not been prepared", kName);
    const Variable total = score_matching_loss(predictor(context), *noisy);
    return {.total = total,
            .log = {{"squared_error", total.value()}},
            .inputs = {{"x_t", noisy->x_t}, {"noise", noisy->noise}}};
  }

  const Sampler* sampler() const override { return this; }
  const Likelihood* likelihood() const override { return this; }

 private:
  Uses uses() const override { return {.label = classifier_ != nullptr}; }

  Samples sample(std::span<const Request> requests, const SampleOptions& options,
                 Generator& generator) const override {
    const Settings& settings = options.settings;
    const int64_t count = std::ssize(requests);
    const LogProbabilityGradient gradient = gradient_for(requests, classifier_, kName);
    GaussianDenoiser denoise = denoiser_of(predictor());
    if (clips(settings)) denoise = clipped(denoise, -1, 1);
    if (settings.text("sample.sampler") == "probability-flow") {
      if (gradient)
        fail("{}: the sampler probability-flow knows no labels; reverse-sde and the others do", kName);
      return sample_by_flow(settings, denoise, count, options.observer, generator);
    }
    const int64_t steps = settings.integer("sample.steps");
    const std::vector<NoiseLevel> levels = settings.text("sample.sampler") == "dpm-solver"
                                               ? sde_log_snr_levels(sde_, steps)
                                               : sde_levels(sde_, steps);
    const LevelSampler sampler = [&](const GaussianDenoiser& asked, std::span<const NoiseLevel> falling,
                                     const Tensor& x, const NoiseSource& noise,
                                     const LevelObserver& observe) {
      return sample_by_levels(settings, gradient, asked, falling, from_prior(x), noise, observe);
    };
    return sample_from_noise(denoise, levels, sampler, count, shape_, options.observer, generator, device());
  }

  bool clips(const Settings& settings) const { return value_levels_ > 0 && settings.boolean("sample.clip"); }

  // x from N(0, I) as a draw of p_T.
  Tensor from_prior(const Tensor& x) const { return scale_shift(x, prior_deviation(sde_), 0); }

  Tensor sample_by_levels(const Settings& settings, const LogProbabilityGradient& gradient,
                          const GaussianDenoiser& denoise, std::span<const NoiseLevel> levels,
                          const Tensor& x, const NoiseSource& noise, const LevelObserver& observe) const {
    const std::string& sampler = settings.text("sample.sampler");
    const bool is_own = sampler == "reverse-sde" || sampler == "predictor-corrector";
    if (!is_own) {
      return sample_levels(settings, denoise, levels, ReverseVariance::small, x, noise, observe, gradient);
    }
    const GaussianDenoiser led =
        gradient ? guided(denoise, gradient, settings.real("sample.guidance")) : denoise;
    if (sampler == "predictor-corrector") {
      const CorrectorOptions corrector{.steps = settings.integer("sample.corrector_steps"),
                                       .signal_to_noise = settings.real("sample.signal_to_noise")};
      return predictor_corrector_sample(led, levels, corrector, x, noise, observe);
    }
    const size_t last = levels.size() - 2;  // before the data
    const std::vector<double> times = falling_times(static_cast<int64_t>(last));
    const Tensor x_0 = led(reverse_sde_sample(led, sde_, times, x, noise, observe), levels[last]).x_0;
    observe(last + 1, x_0);
    return x_0;
  }

  Samples sample_by_flow(const Settings& settings, const GaussianDenoiser& denoise, int64_t count,
                         const SampleObserver& observer, Generator& generator) const {
    const Tensor start =
        from_prior(example_noise(count, generator, device())(batch_shape(count, shape_), Dtype::float32));
    const ContinuousNoisePredictor predict =
        clips(settings) ? with_clipped_data(predictor(), sde_, -1, 1) : predictor();
    const double tolerance = settings.real("sample.tolerance");
    int64_t steps = 0;
    const auto observe = [&](size_t i, const Tensor& x) {
      steps = static_cast<int64_t>(i);
      if (observer) observer({.step = steps, .steps = steps, .values = &x});
    };
    const FlowResult flow =
        probability_flow(predict, sde_, 1, kSamplingEnd, start, {tolerance, tolerance}, observe);
    // The remaining noise is taken away, as by the other samplers.
    const Tensor x_0 = denoise(flow.values, sde_level(sde_, kSamplingEnd)).x_0;
    if (observer) observer({.step = steps + 1, .steps = steps + 1, .values = &x_0});
    return {.values = x_0, .network_calls = (flow.calls + 1) * count};
  }

  bool is_costly() const override { return shape_.elements() > kMostForExactTrace; }
  LikelihoodKind kind() const override {
    if (value_levels_ > 0) return LikelihoodKind::bound;
    return trace_ == TraceEstimate::exact ? LikelihoodKind::exact : LikelihoodKind::estimate;
  }

  std::vector<double> draw_nats(const Batch& batch, Generator& generator) const override {
    const Tensor& x_0 = values_of(batch, shape_, kName);
    const auto nats_of = [&](const Tensor& x) {
      return probability_flow_nats(predictor(), sde_, x, trace_, generator, tolerance_).nats;
    };
    if (value_levels_ == 0) return nats_of(x_0);
    std::vector<double> nats = nats_of(dequantised(x_0, value_levels_, generator));
    const double of_bins = dequantisation_nats(value_levels_) * numbers_per_example(x_0);
    for (double& value : nats) value += of_bins;
    return nats;
  }

  ContinuousNoisePredictor predictor(const ForwardContext& context = {}) const {
    const auto network = [this, context](const Variable& x, const Tensor& t) {
      return network_.forward(x, scale_shift(t, kTimeScale, 0), context);
    };
    return preconditioned(network, sde_);
  }

  Shape shape_;
  int64_t value_levels_;
  Sde sde_;
  TimeWeighting weighting_;
  TraceEstimate trace_;
  OdeTolerance tolerance_;
  ValueNetwork network_;
  std::shared_ptr<const NoisyClassifier> classifier_;  // null: samples are not guided
};

// The rows of the samplers over levels, with those of this paper among the choices.
SettingsTable sampling_settings() {
  SettingsTable table = level_sampler_settings();
  std::vector<std::string> choices = {"reverse-sde", "predictor-corrector", "probability-flow"};
  for (Setting& row : table) {
    if (row.key != "sample.sampler") continue;
    choices.insert(choices.end(), row.choices.begin(), row.choices.end());
    row = choice_setting(row.key, choices.front(), choices, row.explanation);
  }
  const auto of_sampler = [](Setting row, const char* sampler) {
    return only_with(std::move(row), "sample.sampler", {sampler});
  };
  std::vector<std::string> with_steps = choices;
  std::erase(with_steps, "probability-flow");
  table.push_back(only_with(integer_setting("sample.steps", 500, between(1, 1 << 20),
                                            "steps from noise to data; probability-flow chooses its own"),
                            "sample.sampler", with_steps));
  table.push_back(of_sampler(integer_setting("sample.corrector_steps", 1, between(0, 1000),
                                             "M, Langevin steps after each step of the predictor"),
                             "predictor-corrector"));
  table.push_back(of_sampler(
      real_setting("sample.signal_to_noise", 0.16, above(0), "r, which sets the size of a Langevin step"),
      "predictor-corrector"));
  table.push_back(
      of_sampler(real_setting("sample.tolerance", 1e-5, above(0), "error of a step, absolute and relative"),
                 "probability-flow"));
  for (Setting& row : guidance_settings()) table.push_back(std::move(row));
  return table;
}

SettingsTable model_settings() {
  SettingsTable table = sde_settings(kName);
  table.push_back(choice_setting("score_sde.weighting", "noise", {"noise", "likelihood"},
                                 "of the score's errors: by sigma^2 or g^2"));
  table.push_back(
      choice_setting("score_sde.trace", "auto", {"auto", "exact", "rademacher", "gaussian"},
                     "of the likelihood; auto: exact of points, a Rademacher estimate of images"));
  table.push_back(real_setting("score_sde.tolerance", 1e-5, above(0),
                               "of the likelihood's integration, absolute and relative"));
  for (Setting& row : value_network_settings()) table.push_back(std::move(row));
  for (Setting& row : sampling_settings()) table.push_back(std::move(row));
  return table;
}

}  // namespace

ModelInfo score_sde_model() {
  ModelInfo info;
  info.name = kName;
  info.paper = "Song et al. 2021, Score-based generative modeling through stochastic differential equations";
  info.tasks = {"tensors"};
  info.settings = model_settings();
  info.frozen = {"sample.classifier"};
  info.resolve = [](Settings& settings) {
    check_value_network_settings(settings);
    sde_from(settings, kName);
  };
  info.make = [](const Settings& settings, const DataFacts& facts, const FrozenModels& frozen,
                 Generator& generator) -> std::unique_ptr<Model> {
    return std::make_unique<ScoreSde>(settings, facts, frozen, generator);
  };
  return info;
}

}  // namespace haze

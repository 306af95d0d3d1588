#include "haze/diffusion/discrete/d3pm.h"

#include <algorithm>

#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/confidence_sampler.h"
#include "haze/diffusion/discrete/masked_model.h"
#include "haze/diffusion/discrete/sample_settings.h"
#include "haze/diffusion/random_times.h"
#include "haze/nn/transformer_settings.h"

namespace haze {

double unmask_probability(const DiscreteNoise& noise, int t) {
  if (t < 1 || t > noise.steps()) fail("unmask_probability: t = {} is not in 1..{}", t, noise.steps());
  return (noise.alpha_bar[t - 1] - noise.alpha_bar[t]) / (1 - noise.alpha_bar[t]);
}

namespace {

// x_t ~ q(x_t | x_0) at t[i] for sequence i, with `scale` KL_t = scale u_t CE as the weighted term.
Corruption corrupt_at(const TextBatch& x_0, const DiscreteNoise& noise, const std::vector<int>& t,
                      double scale, const D3pmOptions& options, int32_t mask_id, Generator& generator) {
  const double lambda =
      options.auxiliary * (options.auxiliary_form == AuxiliaryForm::code ? noise.steps() : 1);
  std::vector<double> mask_probability;
  SequenceWeights weights;
  for (const int t_i : t) {
    const double kl_weight = scale * unmask_probability(noise, t_i);
    mask_probability.push_back(1 - noise.alpha_bar[t_i]);
    weights.time.push_back(static_cast<double>(t_i) / noise.steps());
    weights.weight.push_back(kl_weight + lambda);
    weights.bound_weight.push_back(kl_weight);
  }
  return {x_0, mask_tokens(x_0, mask_probability, mask_id, generator), weights};
}

}  // namespace

Corruption d3pm_corruption(const TextBatch& x_0, const DiscreteNoise& noise, const D3pmOptions& options,
                           int32_t mask_id, Generator& generator) {
  const std::vector<int> t = draw_steps(x_0.sequences.count, noise.steps(), options.antithetic, generator);
  return corrupt_at(x_0, noise, t, noise.steps(), options, mask_id, generator);
}

std::vector<double> D3pmLikelihood::draw_nats(const Batch& batch, Generator& generator) const {
  const TextBatch& x_0 = batch.target_for("d3pm");
  check_texts(x_0, denoiser_, "d3pm");
  return sequence_nats(denoiser_, d3pm_corruption(x_0, noise_, {}, denoiser_.mask_id(), generator));
}

std::vector<double> D3pmLikelihood::term_nats(const Batch& batch, int64_t term, Generator& generator) const {
  const TextBatch& x_0 = batch.target_for("d3pm");
  check_texts(x_0, denoiser_, "d3pm");
  if (term < 1 || term > terms()) fail("d3pm: term {} is not in 1..{}", term, terms());
  const std::vector<int> t(static_cast<size_t>(x_0.sequences.count), static_cast<int>(term));
  return sequence_nats(denoiser_, corrupt_at(x_0, noise_, t, 1, {}, denoiser_.mask_id(), generator));
}

Samples D3pmSampler::sample(std::span<const Request> requests, const SampleOptions& options,
                            Generator& generator) const {
  if (options.settings.text("sample.sampler") == "confidence") {
    return confidence_sample(denoiser_, requests, noise_, options.settings.real("sample.threshold"),
                             sampler_options(options), generator);
  }
  const auto steps = std::min<int64_t>(options.settings.integer("sample.steps"), noise_.steps());
  return ancestral_sample(denoiser_, requests, SamplingGrid(noise_, static_cast<int>(steps)),
                          sampler_options(options), generator);
}

namespace {

class D3pm : public MaskedModel {
 public:
  D3pm(const Settings& settings, const DataFacts& facts, Generator& generator)
      : MaskedModel("d3pm", settings, facts, generator),
        noise_(discrete_noise(discrete_schedule(settings.text("d3pm.schedule")),
                              static_cast<int>(settings.integer("d3pm.steps")))),
        options_{settings.real("d3pm.auxiliary"),
                 settings.text("d3pm.auxiliary_form") == "code" ? AuxiliaryForm::code : AuxiliaryForm::paper,
                 settings.boolean("d3pm.antithetic")},
        sampler_(denoiser(), noise_),
        likelihood_(denoiser(), noise_) {}

  const Sampler* sampler() const override { return &sampler_; }
  const Likelihood* likelihood() const override { return &likelihood_; }

 private:
  Corruption corrupt(const TextBatch& x_0, Generator& generator) const override {
    return d3pm_corruption(x_0, noise_, options_, denoiser().mask_id(), generator);
  }

  DiscreteNoise noise_;
  D3pmOptions options_;
  D3pmSampler sampler_;
  D3pmLikelihood likelihood_;
};

SettingsTable d3pm_settings() {
  constexpr double kMostSteps = 1 << 20;
  SettingsTable table = {
      integer_setting("d3pm.steps", 1000, between(1, kMostSteps), "steps T of discrete time"),
      choice_setting("d3pm.schedule", "reciprocal", {"reciprocal", "cosine", "linear"},
                     "how fast tokens are masked"),
      real_setting("d3pm.auxiliary", 0.0, at_least(0), "lambda, the weight of the auxiliary cross-entropy"),
      choice_setting("d3pm.auxiliary_form", "code", {"code", "paper"},
                     "lambda's cross-entropy is added to each of the T terms, as in the authors' code, or to "
                     "their sum, as equation 5 prints it: T times weaker"),
      boolean_setting("d3pm.antithetic", true, "spread the times of a batch evenly over 1..T"),
  };
  for (const SettingsTable& section :
       {transformer_settings(),
        sample_settings({"ancestral", "confidence"},
                        "denoising steps of the ancestral sampler; d3pm.steps at most")}) {
    table.insert(table.end(), section.begin(), section.end());
  }
  return table;
}

}  // namespace

ModelInfo d3pm_model() {
  return {.name = "d3pm",
          .paper = "Austin et al. 2021, Structured denoising diffusion models in discrete state-spaces",
          .tasks = {"texts"},
          .settings = d3pm_settings(),
          .resolve = [](Settings& settings) { check_transformer_settings(settings); },
          .make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                     Generator& generator) -> std::unique_ptr<Model> {
            return std::make_unique<D3pm>(settings, facts, generator);
          }};
}

}  // namespace haze

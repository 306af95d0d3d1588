#include "haze/diffusion/discrete/mdlm.h"

#include <cmath>

#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/confidence_sampler.h"
#include "haze/diffusion/discrete/first_hitting_sampler.h"
#include "haze/diffusion/discrete/masked_model.h"
#include "haze/diffusion/discrete/sample_settings.h"
#include "haze/diffusion/discrete/top_margin_sampler.h"
#include "haze/diffusion/random_times.h"
#include "haze/nn/transformer_settings.h"

namespace haze {
namespace {

// Equation 10 as the paper draws it: for each sequence i,
//   t ~ U(0, 1),   x_t ~ q(x_t | x_0),   -alpha_bar'(t) / (1 - alpha_bar(t)) CE(x_t).
Corruption equation_10(const TextBatch& x_0, const MaskingSchedule& schedule, const std::vector<double>& t,
                       int32_t mask_id, Generator& generator) {
  std::vector<double> mask_probability, weight;
  for (const double t_i : t) {
    mask_probability.push_back(schedule.mask_probability(t_i));  // 1 - alpha_bar(t)
    weight.push_back(schedule.loss_weight(t_i));                 // -alpha_bar'(t) / (1 - alpha_bar(t))
  }
  const MaskedBatch x_t = mask_tokens(x_0, mask_probability, mask_id, generator);
  return {x_0, x_t, {.time = t, .weight = weight, .bound_weight = weight}};
}

// The same expectation with k of the n tokens masked, k = ceil(u n), u ~ U(0, 1), and the weight n/k.
Corruption equation_10_by_counts(const TextBatch& x_0, const MaskingSchedule& schedule, MaskDraw draw,
                                 const std::vector<double>& u, int32_t mask_id, Generator& generator) {
  const int32_t* offsets = x_0.sequences.offsets.data<int32_t>();
  std::vector<int64_t> counts;
  std::vector<double> weight, mask_probability;
  for (size_t i = 0; i < u.size(); ++i) {
    const double n = offsets[i + 1] - offsets[i], k = std::ceil(u[i] * n);
    counts.push_back(static_cast<int64_t>(k));
    weight.push_back(n / k);
    mask_probability.push_back(k / n);
  }
  MaskedBatch x_t;
  if (draw == MaskDraw::exact_count) {
    x_t = mask_exactly(x_0, counts, mask_id, generator);
  } else {
    MaskedAtProbability drawn = mask_exactly_at_probability(x_0, counts, mask_id, generator);
    x_t = drawn.batch;
    mask_probability = drawn.mask_probability;
  }
  std::vector<double> time;
  for (const double p : mask_probability) time.push_back(schedule.time_of_mask_probability(p));
  return {x_0, x_t, {.time = time, .weight = weight, .bound_weight = weight}};
}

}  // namespace

Corruption mdlm_corruption(const TextBatch& x_0, const MaskingSchedule& schedule, const MdlmOptions& options,
                           int32_t mask_id, Generator& generator) {
  const std::vector<double> u = draw_uniforms(x_0.sequences.count, options.antithetic, generator);
  if (options.draw == MaskDraw::independent) return equation_10(x_0, schedule, u, mask_id, generator);
  return equation_10_by_counts(x_0, schedule, options.draw, u, mask_id, generator);
}

std::vector<double> MdlmLikelihood::draw_nats(const Batch& batch, Generator& generator) const {
  const TextBatch& x_0 = batch.target_for("mdlm");
  check_texts(x_0, denoiser_, "mdlm");
  return sequence_nats(
      denoiser_, mdlm_corruption(x_0, schedule_, {.draw = MaskDraw::beta}, denoiser_.mask_id(), generator));
}

Samples MdlmSampler::sample(std::span<const Request> requests, const SampleOptions& options,
                            Generator& generator) const {
  const SamplerOptions own = sampler_options(options);
  const std::string& sampler = options.settings.text("sample.sampler");
  if (sampler == "first-hitting") return first_hitting_sample(denoiser_, requests, schedule_, own, generator);
  if (sampler == "top-margin") return top_margin_sample(denoiser_, requests, schedule_, own, generator);
  if (sampler == "confidence") {
    return confidence_sample(denoiser_, requests, schedule_, options.settings.real("sample.threshold"), own,
                             generator);
  }
  const auto steps = static_cast<int>(options.settings.integer("sample.steps"));
  return ancestral_sample(denoiser_, requests, SamplingGrid(schedule_, steps), own, generator);
}

namespace {

MaskDraw mask_draw(const std::string& name) {
  if (name == "independent") return MaskDraw::independent;
  if (name == "exact-count") return MaskDraw::exact_count;
  if (name == "beta") return MaskDraw::beta;
  fail("mdlm.draw '{}' is not independent, exact-count or beta", name);
}

class Mdlm : public MaskedModel {
 public:
  Mdlm(const Settings& settings, const DataFacts& facts, Generator& generator)
      : MaskedModel("mdlm", settings, facts, generator),
        schedule_(continuous_schedule(settings.text("mdlm.schedule")),
                  settings.real("mdlm.polynomial_power")),
        options_{mask_draw(settings.text("mdlm.draw")), settings.boolean("mdlm.antithetic")},
        sampler_(denoiser(), schedule_),
        likelihood_(denoiser(), schedule_) {
    if (options_.draw == MaskDraw::exact_count && denoiser().depends_on_time())
      fail("mdlm.draw exact-count is for networks that do not depend on time; beta is for all");
  }

  const Sampler* sampler() const override { return &sampler_; }
  const Likelihood* likelihood() const override { return &likelihood_; }

 private:
  Corruption corrupt(const TextBatch& x_0, Generator& generator) const override {
    return mdlm_corruption(x_0, schedule_, options_, denoiser().mask_id(), generator);
  }

  MaskingSchedule schedule_;
  MdlmOptions options_;
  MdlmSampler sampler_;
  MdlmLikelihood likelihood_;
};

SettingsTable mdlm_settings() {
  SettingsTable table = {
      choice_setting("mdlm.schedule", "log-linear", {"log-linear", "cosine", "polynomial"},
                     "how fast tokens are masked"),
      real_setting("mdlm.polynomial_power", 2.0, above(0), "exponent of the polynomial schedule"),
      choice_setting("mdlm.draw", "auto", {"auto", "independent", "exact-count", "beta"},
                     "masks of a text: each by itself at a time t; k of n, k drawn evenly; the same with a "
                     "time that suits k; auto: exact-count where time plays no part, otherwise beta"),
      boolean_setting("mdlm.antithetic", true, "spread the times of a batch evenly over [0, 1]"),
  };
  for (const SettingsTable& section :
       {transformer_settings(), sample_settings({"ancestral", "first-hitting", "top-margin", "confidence"},
                                                "denoising steps of the ancestral sampler")}) {
    table.insert(table.end(), section.begin(), section.end());
  }
  return table;
}

void resolve_mdlm(Settings& settings) {
  check_transformer_settings(settings);
  const bool timed = settings.text("transformer.time") != "none";
  const std::string draw = settings.text("mdlm.draw");
  if (draw == "exact-count" && timed) {
    fail("mdlm.draw exact-count does not go with transformer.time {}, which needs times; beta does",
         settings.text("transformer.time"));
  }
  if (draw == "auto") settings.set("mdlm.draw", std::string(timed ? "beta" : "exact-count"));
}

}  // namespace

ModelInfo mdlm_model() {
  return {.name = "mdlm",
          .paper = "Sahoo et al. 2024, Simple and effective masked diffusion language models",
          .tasks = {"texts"},
          .settings = mdlm_settings(),
          .resolve = resolve_mdlm,
          .make = [](const Settings& settings, const DataFacts& facts, const FrozenModels&,
                     Generator& generator) -> std::unique_ptr<Model> {
            return std::make_unique<Mdlm>(settings, facts, generator);
          }};
}

}  // namespace haze

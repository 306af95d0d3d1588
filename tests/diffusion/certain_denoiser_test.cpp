#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using diffusion_test::batch_of;
using diffusion_test::logged;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int32_t kVocabulary = 5;
constexpr int32_t kOnly = 3;  // the one token of every text here

const std::vector<std::vector<int32_t>> kTexts = {{3, 3, 3, 3}, {3}, {3, 3}, {3, 3, 3, 3, 3, 3}};

// 0 for kOnly and -infinity for all others.
std::vector<float> certain_logits() {
  std::vector<float> logits(kVocabulary, -std::numeric_limits<float>::infinity());
  logits[kOnly] = 0;
  return logits;
}

// A denoiser whose logits are a parameter, the same in every row; its cross-entropy is the default one, from
// logits().
class SameLogits : public Denoiser {
 public:
  int64_t vocabulary() const override { return kVocabulary; }
  bool depends_on_time() const override { return false; }
  int32_t mask_id() const override { return kVocabulary; }
  Variable logits(const DenoiserInput& input, const ForwardContext&) const override {
    return parameter + Variable(zeros({input.rows.size(0), kVocabulary}));
  }

  Variable parameter = Variable::leaf(Tensor::from(certain_logits(), {kVocabulary}));
};

// A transformer whose head gives the same, through the fused cross-entropy.
std::unique_ptr<TransformerDenoiser> certain_transformer() {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 1;
  config.heads = 2;
  config.max_length = 8;
  Generator generator(1);
  auto denoiser = std::make_unique<TransformerDenoiser>(kVocabulary, config, kVocabulary, generator);
  for (const NamedParameter& parameter : denoiser->parameters()) {
    if (parameter.name == "head.bias")
      copy_into(parameter.variable->value(), Tensor::from(certain_logits(), {kVocabulary}));
  }
  return denoiser;
}

// The loss is 0 and so is every gradient: p is 1 where it should be, so nothing pulls anywhere.
void check_certain(const Loss& loss, const std::vector<Variable>& parameters) {
  CHECK(logged(loss, "bound") == 0);
  CHECK(logged(loss, "cross_entropy") == 0);
  CHECK(loss.total.value().item() == 0);
  for (const Variable& of_parameter : gradient(loss.total, parameters)) {
    for (double value : of_parameter.value().to_vector<double>()) CHECK(value == 0);
  }
}

void check_losses(const Denoiser& denoiser, const std::vector<Variable>& parameters) {
  const Batch batch = batch_of(kTexts);
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::cosine, 6);
  Generator generator(2);
  for (MaskDraw draw : {MaskDraw::independent, MaskDraw::exact_count, MaskDraw::beta}) {
    const Corruption x_t = mdlm_corruption(*batch.target, MaskingSchedule(), {draw}, kVocabulary, generator);
    check_certain(masked_loss(denoiser, x_t, {}), parameters);
  }
  check_certain(
      masked_loss(denoiser, d3pm_corruption(*batch.target, noise, {0.1}, kVocabulary, generator), {}),
      parameters);
  const MdlmLikelihood mdlm(denoiser, MaskingSchedule());
  const D3pmLikelihood d3pm(denoiser, noise);
  for (const Likelihood* likelihood :
       {static_cast<const Likelihood*>(&mdlm), static_cast<const Likelihood*>(&d3pm)}) {
    const BoundEstimate bound = estimate_bound(*likelihood, {&batch, 1}, {.passes = 2}, generator);
    CHECK(bound.nats == 0);
    CHECK(bound.standard_error == 0);
  }
  CHECK(estimate_bound(d3pm, {&batch, 1}, {.passes = 2, .every_term = true}, generator).nats == 0);
}

}  // namespace

TEST_CASE("where every other token has probability 0, losses, bounds and gradients are 0 and not NaN") {
  const SameLogits denoiser;
  check_losses(denoiser, {denoiser.parameter});
}

TEST_CASE("the fused cross-entropy of a transformer takes probabilities of 0 as well") {
  const auto denoiser = certain_transformer();
  std::vector<Variable> parameters;
  for (const NamedParameter& parameter : denoiser->parameters()) parameters.push_back(*parameter.variable);
  check_losses(*denoiser, parameters);
}

TEST_CASE("a target of probability 0 costs infinitely many nats, which is no NaN either") {
  const std::vector<std::vector<int32_t>> texts = {{3, 1, 3}};
  const SameLogits plain;
  const auto fused = certain_transformer();
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 1);
  for (const Denoiser* denoiser :
       {static_cast<const Denoiser*>(&plain), static_cast<const Denoiser*>(fused.get())}) {
    Generator generator(3);
    const Batch batch = batch_of(texts);
    CHECK(D3pmLikelihood(*denoiser, noise).draw_nats(batch, generator)[0] == kInfinity);
    const Corruption x_t = d3pm_corruption(*batch.target, noise, {}, kVocabulary, generator);
    CHECK(logged(masked_loss(*denoiser, x_t, {}), "bound") == kInfinity);
  }
}

TEST_CASE("samplers write the one token that has a probability") {
  const SameLogits denoiser;
  const std::vector<Request> start(3, open_text(5));
  for (double temperature : {0.0, 0.5, 1.0, 3.0}) {
    Generator generator(4);
    const Samples samples = ancestral_sample(denoiser, start, SamplingGrid(MaskingSchedule(), 4),
                                             {.filter = {.temperature = temperature}}, generator);
    for (const auto& text : samples.texts) CHECK(text == std::vector<int32_t>(5, kOnly));
  }
}

}  // namespace haze

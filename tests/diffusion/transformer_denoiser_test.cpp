#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "haze/autograd/gradcheck.h"
#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"

#include "diffusion/toy_language.h"
#include "engine/thread_bits.h"

namespace haze {
namespace {

using diffusion_test::logged;

struct NormAndTime {
  NormPlacement norm;
  TimeConditioning time;
};

constexpr NormAndTime kPre = {NormPlacement::pre, TimeConditioning::none};
constexpr NormAndTime kPost = {NormPlacement::post, TimeConditioning::none};
constexpr NormAndTime kAdaptive = {NormPlacement::pre, TimeConditioning::adaptive};

TransformerConfig tiny(const NormAndTime& kind, PositionKind positions = PositionKind::learned) {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 2;
  config.heads = 2;
  config.mlp_ratio = 2;
  config.max_length = 8;
  config.norm = kind.norm;
  config.time = kind.time;
  config.positions = positions;
  return config;
}

// With every parameter drawn anew, so that no gate or bias is zero.
std::unique_ptr<TransformerDenoiser> random_denoiser(const TransformerConfig& config, Dtype dtype,
                                                     int32_t mask_id = 5) {
  Generator generator(1);
  auto denoiser = std::make_unique<TransformerDenoiser>(5, config, mask_id, generator);
  denoiser->to(dtype);
  for (const NamedParameter& parameter : denoiser->parameters()) {
    copy_into(parameter.variable->value(), normal(parameter.variable->shape(), generator, 0, 0.3, dtype));
  }
  return denoiser;
}

const std::vector<std::vector<int32_t>> kTexts = {{0, 5, 2, 5, 4}, {5}, {5, 5, 1}, {3, 2, 5, 0, 5, 5, 1, 4}};

// The masked rows of kTexts laid end to end.
const std::vector<int32_t> kMaskedRows = {1, 3, 5, 6, 7, 11, 13, 14};
const std::vector<int32_t> kTargets = {4, 0, 2, 2, 1, 3, 0, 4};

struct Input {
  TextBatch batch = TextBatch::of(kTexts);
  Tensor t = Tensor::from({0.1f, 0.9f, 0.5f, 0.3f}, {4});
  Tensor rows = Tensor::from(kMaskedRows, {8});
  Tensor targets = Tensor::from(kTargets, {8});

  DenoiserInput of(const Tensor& rows_asked) const { return {batch.ids, batch.sequences, t, rows_asked}; }
  DenoiserInput masked() const { return of(rows); }
  DenoiserInput all() const { return of(arange(batch.sequences.rows)); }
};

constexpr NormAndTime kKinds[] = {kPre, kPost, kAdaptive};

}  // namespace

TEST_CASE(
    "a transformer denoiser reads the mask and never predicts it; adaptive norms make it depend on time") {
  for (const NormAndTime& kind : kKinds) {
    const auto denoiser = random_denoiser(tiny(kind), Dtype::float32);
    const Input input;
    CHECK(denoiser->vocabulary() == 5);
    CHECK(denoiser->mask_id() == 5);
    const auto logits_at = [&](const Tensor& t) {
      return denoiser->logits({input.batch.ids, input.batch.sequences, t, input.rows}, {}).value();
    };
    const Tensor logits = logits_at(input.t);
    CHECK(logits.shape() == Shape{8, 5});
    CHECK(denoiser->depends_on_time() == (kind.time == TimeConditioning::adaptive));
    CHECK(test::same_bits(logits, logits_at(full({4}, 0.7))) == !denoiser->depends_on_time());
  }
}

TEST_CASE("logits of some rows are those rows of the logits of all") {
  for (const NormAndTime& kind : kKinds) {
    const auto denoiser = random_denoiser(tiny(kind), Dtype::float64);
    const Input input;
    const Tensor all = denoiser->logits(input.all(), {}).value();
    const Tensor some = denoiser->logits(input.masked(), {}).value();
    const std::vector<double> expected = index_select(all, 0, input.rows).to_vector<double>();
    const std::vector<double> got = some.to_vector<double>();
    REQUIRE(got.size() == expected.size());
    for (size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - expected[i]) < 1e-13);
  }
}

TEST_CASE("cross_entropy is -log_softmax of the logits at the targets, weighted, and so is its gradient") {
  for (const NormAndTime& kind : kKinds) {
    const auto denoiser = random_denoiser(tiny(kind), Dtype::float64);
    const Input input;
    const Tensor weights = Tensor::from({0.5f, 2.f, 1.f, 0.f, 0.25f, 1.5f, 3.f, 1.f}, {8});
    const auto by_fused = denoiser->cross_entropy(input.masked(), input.targets, weights, {});
    const auto by_default = denoiser->Denoiser::cross_entropy(input.masked(), input.targets, weights, {});
    const Tensor log_p = log_softmax(denoiser->logits(input.masked(), {}).value());
    double total = 0;
    for (int64_t i = 0; i < 8; ++i) {
      const double loss = -log_p.at({i, kTargets[static_cast<size_t>(i)]});
      total += weights.at({i}) * loss;
      CHECK(by_fused.losses.at({i}) == doctest::Approx(loss).epsilon(1e-12));
      CHECK(by_default.losses.at({i}) == doctest::Approx(loss).epsilon(1e-12));
    }
    CHECK(by_fused.total.value().item() == doctest::Approx(total).epsilon(1e-12));
    CHECK(by_default.total.value().item() == doctest::Approx(total).epsilon(1e-12));

    std::vector<Variable> parameters;
    for (const NamedParameter& parameter : denoiser->parameters()) parameters.push_back(*parameter.variable);
    const Gradients fused = gradient(by_fused.total, parameters),
                    plain = gradient(by_default.total, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const std::vector<double> a = fused[i].value().to_vector<double>(),
                                b = plain[i].value().to_vector<double>();
      for (size_t j = 0; j < a.size(); ++j) CHECK(std::abs(a[j] - b[j]) < 1e-11);
    }
  }
}

TEST_CASE("the gradient of the loss agrees with central differences for every parameter") {
  for (const NormAndTime& kind : {kPre, kAdaptive}) {
    TransformerConfig config = tiny(kind);
    config.layers = 1;
    config.hidden = 4;
    const auto denoiser = random_denoiser(config, Dtype::float64);
    const Input input;
    const Tensor weights = Tensor::from({0.5, 2.0, 1.0, 0.1, 0.25, 1.5, 3.0, 1.0}, {8});
    std::vector<NamedParameter> parameters = denoiser->parameters();
    std::vector<Tensor> values;
    for (const NamedParameter& parameter : parameters) values.push_back(parameter.variable->value());
    const auto loss = [&](const std::vector<Variable>& inputs) {
      for (size_t i = 0; i < inputs.size(); ++i) *parameters[i].variable = inputs[i];
      return denoiser->cross_entropy(input.masked(), input.targets, weights, {}).total;
    };
    const GradcheckResult result = gradcheck(loss, values);
    CHECK_MESSAGE(result.passed, result.message);
  }
}

TEST_CASE("a sequence has the same logits alone and in any batch, to the last bit") {
  for (const NormAndTime& kind : kKinds) {
    for (PositionKind positions : {PositionKind::learned, PositionKind::sinusoidal, PositionKind::rotary}) {
      const auto denoiser = random_denoiser(tiny(kind, positions), Dtype::float32);
      const Input input;
      const Tensor all = denoiser->logits(input.all(), {}).value();
      int64_t first = 0;
      for (size_t i = 0; i < kTexts.size(); ++i) {
        const auto length = static_cast<int64_t>(kTexts[i].size());
        const TextBatch alone = TextBatch::of(std::vector<std::vector<int32_t>>{kTexts[i]});
        const Tensor t = slice(input.t, 0, static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
        const Tensor logits = denoiser->logits({alone.ids, alone.sequences, t, arange(length)}, {}).value();
        CHECK(test::same_bits(logits, slice(all, 0, first, first + length)));
        first += length;
      }
    }
  }
}

TEST_CASE("texts written by a transformer do not depend on their neighbours") {
  for (const NormAndTime& kind : kKinds) {
    const auto denoiser = random_denoiser(tiny(kind), Dtype::float32);
    std::vector<Request> start;
    for (int64_t length : {5, 1, 8, 3, 6}) start.push_back(open_text(length));
    start[2].fixed[4] = 1;
    start[2].start[4] = 5;
    const auto sample = [&](size_t count, int64_t rows) {
      Generator generator(7);
      return ancestral_sample(*denoiser, std::span(start).first(count), SamplingGrid(MaskingSchedule(), 10),
                              {.rows_per_call = rows}, generator)
          .texts;
    };
    const auto all = sample(start.size(), 4096);
    CHECK(sample(start.size(), 1) == all);
    CHECK(sample(start.size(), 9) == all);
    for (size_t count = 1; count < start.size(); ++count) {
      CHECK(sample(count, 4096) ==
            std::vector<std::vector<int32_t>>(all.begin(), all.begin() + static_cast<int64_t>(count)));
    }
  }
}

TEST_CASE("losses of a transformer can be followed backwards, also where no token was masked") {
  const auto denoiser = random_denoiser(tiny(kAdaptive), Dtype::float32);
  const std::vector<std::vector<int32_t>> texts = {{1}};
  const TextBatch one_token = TextBatch::of(texts);
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::reciprocal, 4);
  Generator generator(3);
  int without = 0, with = 0;
  for (int draw = 0; draw < 40; ++draw) {
    denoiser->clear_gradients();
    const MdlmOptions mdlm{.draw = MaskDraw::independent};
    const Loss loss =
        masked_loss(*denoiser,
                    draw % 2 == 0 ? d3pm_corruption(one_token, noise, {}, 5, generator)
                                  : mdlm_corruption(one_token, MaskingSchedule(), mdlm, 5, generator),
                    {});
    backward(loss.total);
    std::vector<Tensor> gradients;
    for (const NamedParameter& parameter : denoiser->parameters()) {
      REQUIRE(parameter.variable->gradient().defined());
      gradients.push_back(parameter.variable->gradient());
    }
    const double norm = global_norm(gradients);
    if (loss.total.value().item() == 0) {
      CHECK(norm == 0);
      CHECK(logged(loss, "bound") == 0);
      CHECK(logged(loss, "cross_entropy") == 0);
      ++without;
    } else {
      CHECK(norm > 0);
      ++with;
    }
  }
  CHECK(without > 0);
  CHECK(with > 0);
}

}  // namespace haze

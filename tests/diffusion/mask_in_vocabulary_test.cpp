#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/discrete/ancestral_sampler.h"
#include "haze/diffusion/discrete/confidence_sampler.h"
#include "haze/diffusion/discrete/first_hitting_sampler.h"
#include "haze/diffusion/discrete/top_margin_sampler.h"

#include "diffusion/toy_bounds.h"
#include "engine/statistics.h"

namespace haze {
namespace {

using namespace diffusion_test;

// The mask is an id of the vocabulary, as BERT's [MASK] is: toy tokens 1 and 2 become 2 and 3.
constexpr int32_t kMiddle = 1;

int32_t widened(int32_t token) {
  if (token == kMask) return kMiddle;
  return token < kMiddle ? token : token + 1;
}

Text widened(Text x) {
  for (int32_t& token : x) token = widened(token);
  return x;
}

// The toy denoiser under those ids.
class MiddleMask : public Denoiser {
 public:
  explicit MiddleMask(const TabularDenoiser& toy) : toy_(toy) {}
  int64_t vocabulary() const override { return kTokens + 1; }
  int32_t mask_id() const override { return kMiddle; }
  bool depends_on_time() const override { return toy_.depends_on_time(); }
  Variable logits(const DenoiserInput& input, const ForwardContext& context) const override {
    std::vector<int32_t> ids = input.x_t.to_vector<int32_t>();
    for (int32_t& id : ids) id = id == kMiddle ? kMask : id < kMiddle ? id : id - 1;
    DenoiserInput narrow = input;
    narrow.x_t = Tensor::from(ids, {std::ssize(ids)});
    const std::vector<double> toy = toy_.logits(narrow, context).value().to_vector<double>();
    std::vector<double> result;
    for (size_t i = 0; i < toy.size(); i += kTokens) {
      result.insert(result.end(), {toy[i], -std::numeric_limits<double>::infinity(), toy[i + 1], toy[i + 2]});
    }
    return Tensor::from(result, {input.rows.size(0), kTokens + 1});
  }

 private:
  const TabularDenoiser& toy_;
};

std::vector<Text> widened_texts() {
  std::vector<Text> texts = mixed_texts();
  for (Text& x : texts) x = widened(x);
  return texts;
}

TransformerConfig small_config() {
  TransformerConfig config;
  config.hidden = 8;
  config.layers = 1;
  config.heads = 2;
  config.mlp_ratio = 2;
  config.max_length = 8;
  return config;
}

}  // namespace

TEST_CASE("losses and bounds are the same, to the last bit, wherever the mask's id is") {
  const TabularDenoiser toy = TabularDenoiser::wrong(1.5);
  const MiddleMask middle(toy);
  const Batch batch = batch_of(mixed_texts()), wide = batch_of(widened_texts());
  const DiscreteNoise noise = discrete_noise(DiscreteSchedule::cosine, 7);
  for (MaskDraw draw : {MaskDraw::independent, MaskDraw::beta}) {
    Generator one(1), two(1);
    const Loss loss =
        masked_loss(toy, mdlm_corruption(*batch.target, MaskingSchedule(), {draw}, kMask, one), {});
    const Loss other =
        masked_loss(middle, mdlm_corruption(*wide.target, MaskingSchedule(), {draw}, kMiddle, two), {});
    CHECK(loss.total.value().item() == other.total.value().item());
    CHECK(logged(loss, "bound") == logged(other, "bound"));
  }
  Generator one(2), two(2);
  CHECK(MdlmLikelihood(toy, MaskingSchedule()).draw_nats(batch, one) ==
        MdlmLikelihood(middle, MaskingSchedule()).draw_nats(wide, two));
  CHECK(D3pmLikelihood(toy, noise).draw_nats(batch, one) ==
        D3pmLikelihood(middle, noise).draw_nats(wide, two));
  CHECK(D3pmLikelihood(toy, noise).term_nats(batch, 3, one) ==
        D3pmLikelihood(middle, noise).term_nats(wide, 3, two));
}

TEST_CASE("samplers write the same texts wherever the mask's id is, and never the mask") {
  const TabularDenoiser toy = TabularDenoiser::wrong(1.5);
  const MiddleMask middle(toy);
  std::vector<Request> requests, wide;
  for (int i = 0; i < 60; ++i) {
    requests.push_back(open_text(1 + i % 3));
    if (i % 3 == 2) {
      requests.back().start = {0, 2, 0};
      requests.back().fixed = {0, 1, 0};
    }
    wide.push_back(requests.back());
    wide.back().start = widened(requests.back().start);
  }
  using Sample = Samples (*)(const Denoiser&, std::span<const Request>, const SamplerOptions&, Generator&);
  const Sample samplers[] = {
      [](const Denoiser& denoiser, std::span<const Request> all, const SamplerOptions& options,
         Generator& generator) {
        return ancestral_sample(denoiser, all, SamplingGrid(MaskingSchedule(), 8), options, generator);
      },
      [](const Denoiser& denoiser, std::span<const Request> all, const SamplerOptions& options,
         Generator& generator) {
        return first_hitting_sample(denoiser, all, MaskingSchedule(), options, generator);
      },
      [](const Denoiser& denoiser, std::span<const Request> all, const SamplerOptions& options,
         Generator& generator) {
        return top_margin_sample(denoiser, all, MaskingSchedule(), options, generator);
      },
      [](const Denoiser& denoiser, std::span<const Request> all, const SamplerOptions& options,
         Generator& generator) {
        return confidence_sample(denoiser, all, MaskingSchedule(), 0.5, options, generator);
      }};
  for (const Sample sample : samplers) {
    for (const double temperature : {1.0, 0.5, 0.0}) {
      const SamplerOptions options{.filter = {.temperature = temperature, .top_p = 0.95}};
      Generator one(3), two(3);
      std::vector<Text> expected = sample(toy, requests, options, one).texts;
      for (Text& x : expected) x = widened(x);
      CHECK(sample(middle, wide, options, two).texts == expected);
      for (const Text& x : expected) CHECK(std::count(x.begin(), x.end(), kMiddle) == 0);
    }
  }
}

TEST_CASE("samplers forbid a mask within the vocabulary to a network that gives it a probability") {
  // Nothing but the mask is likely here.
  class MaskLover : public Denoiser {
   public:
    int64_t vocabulary() const override { return 4; }
    int32_t mask_id() const override { return 2; }
    bool depends_on_time() const override { return false; }
    Variable logits(const DenoiserInput& input, const ForwardContext&) const override {
      return expand(Tensor::from({0.f, 0.f, 50.f, 0.f}, {1, 4}), {input.rows.size(0), 4});
    }
  } denoiser;
  const std::vector<Request> requests(20, open_text(4));
  Generator generator(4);
  for (const Samples& samples :
       {ancestral_sample(denoiser, requests, SamplingGrid(MaskingSchedule(), 3), {}, generator),
        first_hitting_sample(denoiser, requests, MaskingSchedule(), {}, generator),
        top_margin_sample(denoiser, requests, MaskingSchedule(), {}, generator),
        confidence_sample(denoiser, requests, MaskingSchedule(), 0.5, {}, generator)}) {
    for (const Text& x : samples.texts) CHECK(std::count(x.begin(), x.end(), 2) == 0);
  }
}

TEST_CASE("a transformer reads a mask within its vocabulary and gives it probability 0, fused or not") {
  for (Dtype dtype : {Dtype::float32, Dtype::float64}) {
    Generator generator(5);
    TransformerDenoiser denoiser(6, small_config(), 2, generator);
    denoiser.to(dtype);
    for (const NamedParameter& parameter : denoiser.parameters()) {
      copy_into(parameter.variable->value(), normal(parameter.variable->shape(), generator, 0, 0.5, dtype));
    }
    CHECK(denoiser.vocabulary() == 6);
    CHECK(denoiser.mask_id() == 2);
    const TextBatch batch = TextBatch::of(std::vector<Text>{{0, 2, 5}, {2}, {1, 2, 2, 3}});
    const DenoiserInput input{batch.ids, batch.sequences, zeros({3}),
                              Tensor::from(std::vector<int32_t>{1, 3, 5, 6}, {4})};
    const Tensor targets = Tensor::from(std::vector<int32_t>{4, 0, 5, 1}, {4});
    const std::vector<double> p = softmax(denoiser.logits(input, {}).value()).to_vector<double>();
    for (size_t row = 0; row < 4; ++row) CHECK(p[row * 6 + 2] == 0);

    const CrossEntropy fused = denoiser.cross_entropy(input, targets, ones({4}), {});
    const CrossEntropy plain = denoiser.Denoiser::cross_entropy(input, targets, ones({4}), {});
    const double tolerance = dtype == Dtype::float64 ? 1e-12 : 1e-5;
    const std::vector<double> a = fused.losses.to_vector<double>(), b = plain.losses.to_vector<double>();
    for (size_t i = 0; i < 4; ++i) CHECK(std::abs(a[i] - b[i]) < tolerance);
    std::vector<Variable> parameters;
    std::vector<std::string> names;
    for (const NamedParameter& parameter : denoiser.parameters()) {
      parameters.push_back(*parameter.variable);
      names.push_back(parameter.name);
    }
    const Gradients of_fused = gradient(fused.total, parameters),
                    of_plain = gradient(plain.total, parameters);
    for (size_t i = 0; i < parameters.size(); ++i) {
      const std::vector<double> x = of_fused[i].value().to_vector<double>(),
                                y = of_plain[i].value().to_vector<double>();
      for (size_t j = 0; j < x.size(); ++j) CHECK(std::abs(x[j] - y[j]) < tolerance);
      if (names[i] == "head.bias") CHECK(x[2] == 0);
    }
  }
}

}  // namespace haze

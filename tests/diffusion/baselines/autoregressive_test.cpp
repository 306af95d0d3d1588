#include "haze/diffusion/baselines/autoregressive.h"

#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "haze/diffusion/bound.h"
#include "haze/nn/transformer_settings.h"

#include "diffusion/baselines/toy_language_model.h"
#include "nn/networks.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr int32_t kEnd = 3, kVocabulary = 4;

DataFacts facts(int64_t max_length, int64_t max_source_length = 0) {
  DataFacts result;
  result.vocabulary = kVocabulary;
  result.mask_id = kVocabulary;
  result.end_id = kEnd;
  result.max_length = max_length;
  result.max_source_length = max_source_length;
  return result;
}

Settings tiny_settings(const std::vector<std::string>& overrides = {}) {
  Settings settings(autoregressive_model().settings);
  for (const char* assignment : {"transformer.layers=2", "transformer.hidden=8", "transformer.heads=2"})
    settings.override_with(assignment);
  for (const std::string& assignment : overrides) settings.override_with(assignment);
  return settings;
}

// With weights that are large enough for tokens to differ.
std::unique_ptr<Autoregressive> tiny_model(const DataFacts& data, Dtype dtype = Dtype::float64,
                                           const std::vector<std::string>& overrides = {}) {
  Generator generator(1);
  std::unique_ptr<Model> model = autoregressive_model().make(tiny_settings(overrides), data, {}, generator);
  nn_test::randomise(*model, 2, 0.6);
  model->to(dtype);
  return std::unique_ptr<Autoregressive>(dynamic_cast<Autoregressive*>(model.release()));
}

Batch texts(const std::vector<Tokens>& target, const std::vector<Tokens>& source = {}) {
  Batch batch;
  batch.target = TextBatch::of(target);
  if (!source.empty()) batch.source = TextBatch::of(source);
  return batch;
}

// The network's logits after one history, by itself and without a cache.
LogitsOf logits_of(const Autoregressive& model) {
  return [&model](const Tokens& history) {
    const NoGradient scope;
    const TextBatch batch = TextBatch::of(std::vector<Tokens>{history});
    const Tensor last = Tensor::from({static_cast<int32_t>(history.size()) - 1}, {1});
    return model.network().logits(batch.ids, batch.sequences, last, {}).value().to_vector<double>();
  };
}

// -log p of a text, one token after another.
double naive_nats(const Autoregressive& model, Tokens context, const Tokens& text) {
  context.push_back(kEnd);
  double nats = 0;
  for (int32_t token : text) {
    nats -= std::log(probabilities(logits_of(model)(context))[static_cast<size_t>(token)]);
    context.push_back(token);
  }
  return nats;
}

std::vector<double> nats_of(const Model& model, const Batch& batch) {
  Generator generator(3);
  return model.likelihood()->draw_nats(batch, generator);
}

Samples sample(const Model& model, const std::vector<Request>& requests,
               const std::vector<std::string>& overrides, uint64_t seed = 4, const Tokens& forbidden = {}) {
  const Settings settings = tiny_settings(overrides);
  Generator generator(seed);
  return model.sampler()->sample(requests, {settings, forbidden, {}}, generator);
}

Request prompted(const Tokens& prompt, const Tokens& source = {}) {
  return {.start = prompt, .fixed = std::vector<uint8_t>(prompt.size(), 1), .source = source};
}

}  // namespace

TEST_CASE("a text's row i is the token before its target i, and the end token comes first") {
  const TextBatch target = TextBatch::of(std::vector<Tokens>{{0, 1, 3}, {3}, {2, 3}});
  const ShiftedTexts result = shifted(target, nullptr, kEnd);
  CHECK(result.ids.to_vector<int32_t>() == Tokens{3, 0, 1, 3, 3, 2});
  CHECK(result.sequences.offsets.to_vector<int32_t>() == Tokens{0, 3, 4, 6});
  CHECK(result.rows.to_vector<int32_t>() == Tokens{0, 1, 2, 3, 4, 5});
  CHECK(result.targets.to_vector<int32_t>() == Tokens{0, 1, 3, 3, 2, 3});
}

TEST_CASE("a pair's source stands before the end token, and only target tokens are predicted") {
  const TextBatch target = TextBatch::of(std::vector<Tokens>{{0, 1, 3}, {3}});
  const TextBatch source = TextBatch::of(std::vector<Tokens>{{2}, {1, 0}});
  const ShiftedTexts result = shifted(target, &source, kEnd);
  CHECK(result.ids.to_vector<int32_t>() == Tokens{2, 3, 0, 1, 1, 0, 3});
  CHECK(result.sequences.offsets.to_vector<int32_t>() == Tokens{0, 4, 7});
  CHECK(result.rows.to_vector<int32_t>() == Tokens{1, 2, 3, 6});
  CHECK(result.targets.to_vector<int32_t>() == Tokens{0, 1, 3, 3});
}

TEST_CASE("the likelihood is that of one token after another, in float64") {
  for (const char* positions : {"learned", "rotary", "sinusoidal"}) {
    const auto model =
        tiny_model(facts(5), Dtype::float64, {std::string("transformer.positions=") + positions});
    const std::vector<Tokens> targets = {{0, 1, 2, 3}, {3}, {2, 2, 2, 2, 3}, {1, 3}};
    const std::vector<double> nats = nats_of(*model, texts(targets));
    for (size_t i = 0; i < targets.size(); ++i)
      CHECK(nats[i] == doctest::Approx(naive_nats(*model, {}, targets[i])).epsilon(1e-12));
  }
}

TEST_CASE("the likelihood of a pair is that of its target given its source, in float64") {
  const auto model = tiny_model(facts(4, 3));
  const std::vector<Tokens> targets = {{0, 1, 3}, {3}, {2, 1, 0, 3}};
  const std::vector<Tokens> sources = {{1}, {0, 2, 1}, {2, 2}};
  const std::vector<double> nats = nats_of(*model, texts(targets, sources));
  for (size_t i = 0; i < targets.size(); ++i)
    CHECK(nats[i] == doctest::Approx(naive_nats(*model, sources[i], targets[i])).epsilon(1e-12));
}

TEST_CASE("a model that ignores sources has the likelihood of the texts alone, and draws without a source") {
  const auto model = tiny_model(facts(4, 3), Dtype::float64, {"autoregressive.ignore_source=true"});
  const std::vector<Tokens> targets = {{0, 1, 3}, {3}, {2, 1, 0, 3}};
  const std::vector<double> nats = nats_of(*model, texts(targets, {{1}, {0, 2, 1}, {2, 2}}));
  for (size_t i = 0; i < targets.size(); ++i)
    CHECK(nats[i] == doctest::Approx(naive_nats(*model, {}, targets[i])).epsilon(1e-12));
  CHECK_FALSE(model->sampler()->uses().source);
  CHECK(sample(*model, {prompted({1})}, {}).texts[0][0] == 1);
  CHECK_THROWS_WITH_AS(sample(*model, {prompted({}, {1})}, {}),
                       "sampling: text 0 has a source text, and this model has learned texts without one",
                       Error);
  CHECK_THROWS_WITH_AS(
      tiny_model(facts(4), Dtype::float64, {"autoregressive.ignore_source=true"}),
      "autoregressive.ignore_source: the texts have no sources; data.task pairs gives them some", Error);
}

TEST_CASE("fudge and pplm need a classifier and a control") {
  const auto model = tiny_model(facts(4, 3), Dtype::float64, {"autoregressive.ignore_source=true"});
  for (const char* sampler : {"fudge", "pplm"}) {
    const std::vector<std::string> settings = {std::string("sample.sampler=") + sampler};
    CHECK_THROWS_WITH_AS(
        sample(*model, {prompted({})}, settings),
        fmt::format("sampling: text 0 has no source text, the control that {} leads to", sampler).c_str(),
        Error);
    const char* kind = std::string(sampler) == "fudge" ? "prefix_classifier" : "hidden_classifier";
    CHECK_THROWS_WITH_AS(
        sample(*model, {prompted({}, {1})}, settings),
        fmt::format("sample.sampler {} needs a {}; name its run in sample.classifier", sampler, kind).c_str(),
        Error);
  }
}

TEST_CASE("the probabilities of all texts, and of all beginnings that have not ended, sum to one") {
  constexpr int64_t kLongest = 5;
  const auto model = tiny_model(facts(kLongest));
  std::vector<Tokens> open = {{}}, complete;
  for (int64_t length = 1; length <= kLongest; ++length) {
    std::vector<Tokens> longer;
    for (const Tokens& text : open) {
      for (int32_t v = 0; v < kVocabulary; ++v) {
        Tokens next = text;
        next.push_back(v);
        (v == kEnd ? complete : longer).push_back(next);
      }
    }
    open = longer;
    double ended = 0, going_on = 0;
    for (double nats : nats_of(*model, texts(complete))) ended += std::exp(-nats);
    for (double nats : nats_of(*model, texts(open))) going_on += std::exp(-nats);
    CHECK(ended + going_on == doctest::Approx(1).epsilon(1e-12));
    CHECK(ended > 0.05);
  }
}

TEST_CASE("the loss is the mean negative log-likelihood of target tokens, and an exact bound's pass is one") {
  const auto model = tiny_model(facts(4, 3));
  const Batch batch = texts({{0, 1, 3}, {3}, {2, 1, 0, 3}}, {{1}, {0, 2, 1}, {2, 2}});
  Generator generator(5);
  const Batch prepared = model->prepare(batch, 0, generator);
  const Loss loss = model->loss(prepared, 0, {});
  double total = 0;
  for (double nats : nats_of(*model, batch)) total += nats;
  const auto units = static_cast<double>(batch.units());
  CHECK(loss.total.value().item() == doctest::Approx(total / units).epsilon(1e-12));
  CHECK(loss.log.at(0).name == "cross_entropy");
  const std::vector<Batch> batches = {batch};
  const BoundEstimate estimate = estimate_bound(*model->likelihood(), batches, {}, generator);
  CHECK(estimate.nats_per_unit() == doctest::Approx(total / units).epsilon(1e-12));
  CHECK(estimate.standard_error == 0);
}

TEST_CASE("gradients of the loss agree with central differences, with a head of its own and a tied one") {
  for (const char* tied : {"false", "true"}) {
    const auto model =
        tiny_model(facts(4, 2), Dtype::float64, {std::string("autoregressive.tied_embeddings=") + tied});
    Generator generator(6);
    const Batch batch = model->prepare(texts({{0, 1, 3}, {3}}, {{1}, {0, 2}}), 0, generator);
    nn_test::check_gradients(tied, *model, {},
                             [&](const nn_test::Inputs&) { return model->loss(batch, 0, {}).total; });
  }
}

TEST_CASE("a tied head adds no weight, and names are those of other models of texts") {
  const auto own = tiny_model(facts(4));
  const auto tied = tiny_model(facts(4), Dtype::float64, {"autoregressive.tied_embeddings=true"});
  CHECK(own->parameter_count() - tied->parameter_count() == kVocabulary * 8);
  std::vector<std::string> names;
  for (const NamedParameter& parameter : own->parameters()) names.push_back(parameter.name);
  for (const char* name : {"transformer.token_embedding.weight", "transformer.position_embedding.weight",
                           "transformer.blocks.1.attention.qkv.weight", "head.weight", "head.bias"})
    CHECK(std::count(names.begin(), names.end(), name) == 1);
}

TEST_CASE("a decoder with a cache gives the logits of a network without one, to 1e-5") {
  for (const char* positions : {"learned", "rotary", "sinusoidal"}) {
    const auto model =
        tiny_model(facts(8), Dtype::float32, {std::string("transformer.positions=") + positions});
    std::vector<Tokens> histories = {{3, 0, 1}, {3, 2, 2}, {3, 1, 0}};
    const std::unique_ptr<Decoder> decoder = model->network().decoder();
    Tensor logits = decoder->read(Tensor::from(Tokens{3, 0, 1, 3, 2, 2, 3, 1, 0}, {3, 3}));
    for (int32_t step = 0; step < 5; ++step) {
      std::vector<double> expected;
      for (const Tokens& history : histories) {
        for (double value : logits_of (*model)(history)) expected.push_back(value);
      }
      CHECK(nn_test::largest_difference(logits.to_vector<double>(), expected) < 1e-5);
      const Tokens order = step == 2 ? Tokens{2, 0, 0, 1} : Tokens{};  // texts change places and are doubled
      if (!order.empty()) {
        decoder->select(Tensor::from(order, {4}));
        histories = {histories[2], histories[0], histories[0], histories[1]};
      }
      Tokens next;
      for (size_t i = 0; i < histories.size(); ++i) {
        next.push_back(static_cast<int32_t>(i + static_cast<size_t>(step)) % 3);
        histories[i].push_back(next.back());
      }
      logits = decoder->read(Tensor::from(next, {std::ssize(next), 1}));
    }
  }
}

TEST_CASE("the transformer's texts are distributed as its likelihood says (chi-squared, 99.9 %, 20,000)") {
  const auto model = tiny_model(facts(3, 2), Dtype::float32);
  const Tokens source = {1, 2};
  const Samples samples = sample(*model, std::vector<Request>(20000, prompted({}, source)), {});
  const auto exact = enumerated(logits_of(*model), {.context = {1, 2, kEnd}}, {kEnd, 3});
  CHECK(follows(samples.texts, exact));
  for (const auto& [text, log_p] : exact)
    CHECK(nats_of(*model, texts({text}, {source}))[0] == doctest::Approx(-log_p).epsilon(1e-5));
}

TEST_CASE("a sample of the transformer depends on the seed and its index alone") {
  const auto model = tiny_model(facts(12), Dtype::float32, {"transformer.hidden=192", "transformer.heads=3"});
  nn_test::randomise(*model, 2, 0.1);
  std::vector<Request> requests;
  for (int32_t i = 0; i < 150; ++i) requests.push_back(prompted(Tokens(static_cast<size_t>(i % 3), i % 2)));
  const std::vector<Tokens> all = sample(*model, requests, {}).texts;
  for (int64_t count : {1, 7, 64}) {
    const std::vector<Request> some(requests.begin(), requests.begin() + count);
    CHECK(sample(*model, some, {}).texts == std::vector<Tokens>(all.begin(), all.begin() + count));
  }
  CHECK(sample(*model, requests, {}, 5).texts != all);
}

TEST_CASE(
    "beam search of the transformer finds the best of all texts with a wide beam, and greedy with one") {
  const auto model = tiny_model(facts(4), Dtype::float64);
  std::vector<Request> requests = {prompted({}), prompted({2}), prompted({0, 1})};
  const Samples wide =
      sample(*model, requests, {"sample.sampler=beam", "sample.beam_size=256", "sample.length_penalty=1"});
  for (size_t i = 0; i < requests.size(); ++i) {
    Tokens best;
    double best_score = -1e300;
    for (const auto& [text, log_p] :
         enumerated(logits_of(*model), {.context = {kEnd}, .prompt = requests[i].start}, {kEnd, 4})) {
      const double score = 6 * log_p / static_cast<double>(5 + text.size() - requests[i].start.size());
      if (score <= best_score) continue;
      best_score = score;
      best = text;
    }
    CHECK(wide.texts[i] == best);
  }
  CHECK(sample(*model, requests, {"sample.sampler=beam", "sample.beam_size=1"}).texts ==
        sample(*model, requests, {"sample.temperature=0"}).texts);
}

TEST_CASE("beam search does not depend on the temperature, top-k and top-p of ancestral sampling") {
  const auto model = tiny_model(facts(4), Dtype::float64);
  const std::vector<Request> requests = {prompted({}), prompted({2}), prompted({0, 1})};
  const std::vector<Tokens> texts = sample(*model, requests, {"sample.sampler=beam"}).texts;
  for (const char* setting : {"sample.temperature=0.8", "sample.top_k=1", "sample.top_p=0.1"})
    CHECK(sample(*model, requests, {"sample.sampler=beam", setting}).texts == texts);
}

TEST_CASE("forbidden tokens are in no text, ancestral or beam") {
  const auto model = tiny_model(facts(6), Dtype::float32);
  const std::vector<Request> requests(50, prompted({}));
  for (const char* sampler : {"ancestral", "beam"}) {
    const Samples samples =
        sample(*model, requests, {std::string("sample.sampler=") + sampler}, 4, Tokens{1, kEnd});
    for (const Tokens& text : samples.texts) {
      CHECK(text.size() == 6);
      CHECK(std::find(text.begin(), text.end(), 1) == text.end());
    }
  }
}

TEST_CASE("an autoregressive model says what it lacks") {
  const auto of_texts = tiny_model(facts(4)), of_pairs = tiny_model(facts(4, 2));
  Generator generator(7);
  CHECK_THROWS_WITH_AS(of_pairs->prepare(texts({{3}}), 0, generator),
                       "autoregressive: the batch has no source texts, which this model needs", Error);
  CHECK_THROWS_WITH_AS(of_texts->loss(texts({{3}}), 0, {}), "autoregressive: the batch has not been prepared",
                       Error);
  CHECK_THROWS_WITH_AS(of_pairs->prepare(texts({{3}, {3}}, {{1}}), 0, generator),
                       "autoregressive: 1 source texts for 2 targets", Error);
  CHECK_THROWS_WITH_AS(
      sample(*of_texts, {{.start = {1, 1, 1}, .fixed = {1, 0, 1}}}, {}),
      "sampling: text 0 has gaps; an autoregressive model goes on where the given tokens end", Error);
  CHECK_THROWS_AS(sample(*of_texts, {{.start = {1, 1}, .fixed = {1}}}, {}), Error);
  CHECK_THROWS_WITH_AS(sample(*of_pairs, {prompted({1})}, {}),
                       "sampling: text 0 has no source text, and this model has learned texts with one",
                       Error);
  CHECK_THROWS_WITH_AS(sample(*of_texts, {prompted({1}, {1})}, {}),
                       "sampling: text 0 has a source text, and this model has learned texts without one",
                       Error);
  Settings adaptive = tiny_settings({"transformer.time=adaptive"});
  CHECK_THROWS_WITH_AS(autoregressive_model().resolve(adaptive),
                       "an autoregressive model has no time t: transformer.time must be none, not adaptive",
                       Error);
}

}  // namespace haze

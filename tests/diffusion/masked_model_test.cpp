#include <cmath>
#include <map>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "haze/diffusion/bound.h"
#include "haze/diffusion/discrete/d3pm.h"
#include "haze/diffusion/discrete/mdlm.h"

#include "diffusion/toy_language.h"

namespace haze {
namespace {

using diffusion_test::logged;
using Texts = std::vector<std::vector<int32_t>>;

constexpr int32_t kMaskId = 9;
const Texts kTexts = {{0, 5, 2, 1, 4}, {7}, {3, 8, 1}, {3, 2, 8, 0, 6, 6, 1, 4}};

Settings settings_of(const ModelInfo& info, const std::vector<std::string>& changes = {}) {
  Settings settings(info.settings);
  for (const char* small : {"transformer.layers=1", "transformer.hidden=8", "transformer.heads=2"}) {
    settings.override_with(small);
  }
  for (const std::string& change : changes) settings.override_with(change);
  info.resolve(settings);
  return settings;
}

std::unique_ptr<Model> model_of(const ModelInfo& info, const Settings& settings, int32_t mask_id = kMaskId) {
  Generator generator(1);
  const DataFacts facts{.vocabulary = 9, .mask_id = mask_id, .end_id = 8, .max_length = 8, .value_shape = {}};
  return info.make(settings, facts, {}, generator);
}

Batch batch_of(const Texts& texts) {
  return diffusion_test::batch_of(texts);
}

void randomise(Module& module) {
  Generator generator(7);
  for (const NamedParameter& parameter : module.parameters()) {
    const Tensor& value = parameter.variable->value();
    copy_into(value, normal(value.shape(), generator, 0, 0.5, value.dtype()));
  }
}

const std::vector<ModelInfo>& infos() {
  static const std::vector<ModelInfo> result = {mdlm_model(), d3pm_model()};
  return result;
}

}  // namespace

TEST_CASE("mdlm and d3pm learn texts, and their weights have the names that saved runs have") {
  for (const ModelInfo& info : infos()) {
    CAPTURE(info.name);
    CHECK(info.tasks == std::vector<std::string>{"texts"});
    const auto model = model_of(info, settings_of(info));
    std::set<std::string> names;
    for (const NamedParameter& parameter : model->parameters()) names.insert(parameter.name);
    CHECK(names.contains("transformer.token_embedding.weight"));
    CHECK(names.contains("head.weight"));
    CHECK(names.contains("head.bias"));
    for (const std::string& name : names)
      CHECK((name.starts_with("transformer.") || name.starts_with("head.")));
    const auto objectives = model->objectives();
    REQUIRE(objectives.size() == 1);
    CHECK(objectives[0].parameters.size() == names.size());
  }
}

TEST_CASE("rows that round a batch up change neither its loss, nor what it logs, nor any gradient") {
  for (const ModelInfo& info : infos()) {
    for (const char* time : {"transformer.time=adaptive", "transformer.time=none"}) {
      const auto model = model_of(info, settings_of(info, {time}));
      model->to(Dtype::float64);
      randomise(*model);
      for (int64_t multiple : {1, 2, 16, 30}) {  // of 17 rows; the last needs two more sequences
        CAPTURE(info.name);
        CAPTURE(multiple);
        Generator generator(3);
        const Batch batch = model->prepare(batch_of(kTexts), 0, generator),
                    padded = model->padded(batch, multiple);
        const Loss one = model->loss(batch, 0, {}), other = model->loss(padded, 0, {});
        const auto rows = [](const Batch& b) { return b.prepared->tensors().front().size(0); };
        CHECK(rows(padded) == (rows(batch) + multiple - 1) / multiple * multiple);
        for (const Tensor& tensor : padded.prepared->tensors()) {
          // Every count is rounded up, or the same for all batches of four texts.
          const int64_t size = tensor.rank() == 0 ? 1 : tensor.size(0), sequences = 4 + (multiple + 6) / 8;
          CHECK((tensor.rank() == 0 || size % multiple == 0 || size == sequences || size == sequences + 1));
        }
        CHECK(other.total.value().item() == doctest::Approx(one.total.value().item()).epsilon(1e-12));
        for (const char* part : {"bound", "cross_entropy"})
          CHECK(logged(other, part) == doctest::Approx(logged(one, part)).epsilon(1e-12));
        std::vector<Variable> parameters;
        for (const NamedParameter& parameter : model->parameters()) parameters.push_back(*parameter.variable);
        const auto wanted = gradient(one.total, parameters), got = gradient(other.total, parameters);
        for (size_t i = 0; i < wanted.size(); ++i) {
          const Tensor difference = subtract(got[i].value(), wanted[i].value());
          CHECK(reduce(ReduceOp::max, unary(UnaryOp::absolute, difference)).item() < 1e-12);
        }
      }
    }
  }
}

TEST_CASE(
    "a loss of a prepared batch names what the network was asked, and repeats to the last bit from it") {
  for (const ModelInfo& info : infos()) {
    CAPTURE(info.name);
    const auto model = model_of(info, settings_of(info, {"transformer.time=adaptive"}));
    Generator generator(2);
    const Batch batch = model->prepare(batch_of(kTexts), 0, generator);
    const Loss loss = model->loss(batch, 0, {});
    std::map<std::string, Tensor> inputs;
    for (const NamedTensor& input : loss.inputs) inputs[input.name] = input.tensor;
    std::set<std::string> names;
    for (const auto& [name, tensor] : inputs) names.insert(name);
    CHECK(names == std::set<std::string>{"x_t", "offsets", "time", "masked", "targets", "row_weights"});
    CHECK(inputs["offsets"].to_vector<int32_t>() == std::vector<int32_t>{0, 5, 6, 9, 17});
    const std::vector<int32_t> x_t = inputs["x_t"].to_vector<int32_t>(),
                               masked = inputs["masked"].to_vector<int32_t>(),
                               targets = inputs["targets"].to_vector<int32_t>(),
                               x_0 = batch.target->ids.to_vector<int32_t>();
    REQUIRE(masked.size() > 1);
    for (size_t i = 0; i < masked.size(); ++i) {
      CHECK(x_t[static_cast<size_t>(masked[i])] == kMaskId);
      CHECK(targets[i] == x_0[static_cast<size_t>(masked[i])]);
    }
    CHECK(inputs["time"].dtype() == Dtype::float32);
    CHECK(inputs["row_weights"].dtype() == Dtype::float32);
    CHECK(logged(loss, "bound") == doctest::Approx(loss.total.value().item()).epsilon(1e-6));
    CHECK(logged(loss, "cross_entropy") == doctest::Approx(std::log(9.0)).epsilon(0.2));  // untrained
    CHECK(model->loss(batch, 0, {}).total.value().item() == loss.total.value().item());
    for (const NamedTensor& scalar : loss.log) CHECK(scalar.tensor.elements() == 1);
  }
}

TEST_CASE("what prepare draws depends on the generator alone, and differs from call to call") {
  for (const ModelInfo& info : infos()) {
    const auto model = model_of(info, settings_of(info));
    Generator one(3), two(3);
    const auto x_t = [&](Generator& generator) {
      const Batch batch = model->prepare(batch_of(kTexts), 0, generator);
      return model->loss(batch, 0, {}).inputs.front().tensor.to_vector<int32_t>();
    };
    const auto first = x_t(one);
    CHECK(x_t(two) == first);
    CHECK(x_t(one) != first);
  }
}

TEST_CASE("models sample what they are asked for, with the settings of section [sample]") {
  const std::vector<std::pair<ModelInfo, std::string>> rows = {
      {mdlm_model(), "ancestral"},  {mdlm_model(), "first-hitting"}, {mdlm_model(), "top-margin"},
      {mdlm_model(), "confidence"}, {d3pm_model(), "ancestral"},     {d3pm_model(), "confidence"}};
  for (const auto& row : rows) {
    const ModelInfo& info = row.first;
    const std::string& name = row.second;
    CAPTURE(info.name);
    CAPTURE(name);
    const Settings settings = settings_of(info, {"sample.sampler=" + name, "sample.steps=5"});
    for (int32_t mask_id : {kMaskId, 4}) {  // 4 is in the middle of the vocabulary
      const auto model = model_of(info, settings, mask_id);
      const Sampler* sampler = model->sampler();
      REQUIRE(sampler != nullptr);
      CHECK((sampler->uses().length && sampler->uses().prompt && sampler->uses().gaps));
      CHECK_FALSE(sampler->uses().source);
      std::vector<Request> requests;
      for (size_t length : {size_t{4}, size_t{1}, size_t{8}}) {
        requests.push_back(
            {.start = std::vector<int32_t>(length, 7), .fixed = std::vector<uint8_t>(length), .source = {}});
      }
      requests[2].fixed[3] = 1;
      Generator generator(4);
      int64_t steps = 0;
      const SampleOptions options{
          settings, {0, 8}, [&](const Snapshot& snapshot) { steps = snapshot.steps; }};
      const Samples samples = sampler->sample(requests, options, generator);
      CHECK(steps == (name == "ancestral" ? 5 : 7));  // 7 of 8 tokens are open
      CHECK(samples.network_calls > 0);
      REQUIRE(samples.texts.size() == 3);
      for (size_t i = 0; i < 3; ++i) {
        REQUIRE(samples.texts[i].size() == requests[i].start.size());
        for (int32_t token : samples.texts[i]) {
          CHECK((token > 0 && token < 8 && token != mask_id));  // 0 and 8 are forbidden
        }
      }
      CHECK(samples.texts[2][3] == 7);
    }
  }
}

TEST_CASE("sample.steps above d3pm.steps visits all of them") {
  const ModelInfo info = d3pm_model();
  const Settings settings = settings_of(info, {"d3pm.steps=6", "sample.steps=64"});
  const auto model = model_of(info, settings);
  const Request request{.start = {0, 0, 0}, .fixed = {0, 0, 0}, .source = {}};
  Generator generator(5);
  int64_t steps = 0;
  model->sampler()->sample({&request, 1}, {settings, {}, [&](const Snapshot& s) { steps = s.steps; }},
                           generator);
  CHECK(steps == 6);
}

TEST_CASE("an untrained model's bound is that of guessing, with or without its mask among the ids") {
  for (const ModelInfo& info : infos()) {
    for (int32_t mask_id : {kMaskId, 4}) {
      CAPTURE(info.name);
      const auto model = model_of(info, settings_of(info), mask_id);
      for (const NamedParameter& parameter : model->parameters()) fill(parameter.variable->value(), 0);
      const Batch batch = batch_of({{0, 1, 2, 3}, {5}, {6, 7, 8}});
      Generator generator(6);
      const BoundEstimate bound =
          estimate_bound(*model->likelihood(), {&batch, 1}, {.passes = 2000}, generator);
      const double guessing = std::log(mask_id == kMaskId ? 9 : 8);  // ids to choose from
      CHECK(std::abs(bound.nats_per_unit() - guessing) < 4 * bound.error_per_unit() + 1e-5);
    }
  }
}

TEST_CASE("auto draws are exact counts where time plays no part, and counts with a time otherwise") {
  const ModelInfo info = mdlm_model();
  CHECK(settings_of(info).text("mdlm.draw") == "exact-count");
  CHECK(settings_of(info, {"transformer.time=adaptive"}).text("mdlm.draw") == "beta");
  CHECK(settings_of(info, {"mdlm.draw=independent"}).text("mdlm.draw") == "independent");
}

TEST_CASE("models refuse settings that contradict one another, and batches that are not theirs") {
  const ModelInfo mdlm = mdlm_model(), d3pm = d3pm_model();
  CHECK_THROWS_WITH_AS(
      settings_of(mdlm, {"mdlm.draw=exact-count", "transformer.time=adaptive"}),
      "mdlm.draw exact-count does not go with transformer.time adaptive, which needs times; beta does",
      Error);
  for (const ModelInfo& info : infos()) {
    CHECK_THROWS_WITH_AS(settings_of(info, {"transformer.heads=3"}),
                         "transformer.hidden 8 is not a multiple of transformer.heads 3", Error);
  }
  CHECK_THROWS_AS(settings_of(d3pm, {"sample.sampler=top-margin"}), Error);
  CHECK_THROWS_AS(settings_of(mdlm, {"mdlm.polynomial_power=0"}), Error);
  CHECK_THROWS_WITH_AS(model_of(mdlm, Settings(mdlm.settings)),
                       "mdlm.draw 'auto' is not independent, exact-count or beta", Error);
  Settings unresolved(mdlm.settings);
  unresolved.override_with("mdlm.draw=exact-count");
  unresolved.override_with("transformer.time=adaptive");
  CHECK_THROWS_WITH_AS(model_of(mdlm, unresolved),
                       "mdlm.draw exact-count is for networks that do not depend on time; beta is for all",
                       Error);
  const auto model = model_of(mdlm, settings_of(mdlm)), other = model_of(d3pm, settings_of(d3pm));
  Generator generator(7);
  CHECK_THROWS_WITH_AS(model->loss(batch_of(kTexts), 0, {}),
                       "mdlm: the batch was not prepared for this model", Error);
  CHECK_THROWS_WITH_AS(other->prepare({}, 0, generator),
                       "d3pm: the batch has no texts, from which this model learns", Error);
  CHECK_THROWS_WITH_AS(model->prepare(batch_of({{1, kMaskId}}), 0, generator),
                       "mdlm: a text holds the mask's id, 9", Error);
  CHECK_THROWS_WITH_AS(other->prepare(batch_of({{1, 10}}), 0, generator),
                       "d3pm: a text holds the id 10, which is outside the vocabulary of 9", Error);
}

}  // namespace haze

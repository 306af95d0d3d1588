#include "haze/diffusion/gaussian/diffusion_lm/text_control.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "haze/diffusion/gaussian/diffusion_lm/diffusion_lm_model.h"

#include "diffusion/gaussian/diffusion_lm/tiny_words.h"
#include "diffusion/gaussian/diffusion_lm/toy_training.h"
#include "diffusion/toy_language.h"
#include "nn/networks.h"

namespace haze {
namespace {

using diffusion_test::settings_of;

using Texts = std::vector<std::vector<int32_t>>;

// Of words 0 to 3 and the end, 4. Words 0 and 1 have the tag 1, words 2 and 3 the tag 2. Two neighbours with
// the same tag are a phrase: of label 1 or 2, their tag.
const Texts kTexts = {{0, 1, 2, 3, 4}, {2, 0, 1, 4}, {3, 2, 0, 1, 4},
                      {0, 2, 1, 3, 4}, {1, 0, 4},    {3, 0, 2, 4}};
const DataFacts kFacts{.vocabulary = 5,
                       .mask_id = 5,
                       .end_id = 4,
                       .max_length = 5,
                       .tags = 3,
                       .span_labels = 3,
                       .value_shape = {}};

int32_t tag_of(int32_t word) {
  return word == 4 ? 0 : 1 + word / 2;
}

Batch all_texts(int copies) {
  Texts texts;
  std::vector<int32_t> tags;
  Batch batch;
  for (int i = 0; i < copies; ++i) {
    for (const std::vector<int32_t>& text : kTexts) {
      texts.push_back(text);
      std::vector<LabelledSpan>& spans = batch.spans.emplace_back();
      for (size_t j = 0; j < text.size(); ++j) {
        tags.push_back(tag_of(text[j]));
        const auto begin = static_cast<int64_t>(j);
        if (j + 2 < text.size() && tags.back() == tag_of(text[j + 1]))
          spans.push_back({begin, begin + 2, tags.back()});
      }
    }
  }
  batch.target = diffusion_test::batch_of(texts).target;
  batch.tags = Tensor::from(tags, {std::ssize(tags)});
  return batch;
}

Settings model_settings() {
  return settings_of(diffusion_lm_model(), {"diffusion_lm.dimension=4", "diffusion_lm.steps=200",
                                            "diffusion_lm.padding=none", "sample.steps=50"});
}

std::shared_ptr<Model> made(const ModelInfo& info, const Settings& settings, const FrozenModels& frozen,
                            const DataFacts& facts = kFacts) {
  Generator generator(1);
  return info.make(settings, facts, frozen, generator);
}

// A trained model with both classifiers, which every test reads.
struct Trained {
  Settings settings = model_settings();
  std::shared_ptr<Model> model, tagger, parser, controlled;

  Trained() : model(made(diffusion_lm_model(), settings, {})) {
    diffusion_test::train_on(*model, all_texts(8), 300, 3);
    const FrozenModel run{model, kFacts, settings};
    const FrozenModel none{nullptr, kFacts, settings};
    const Settings of_tagger = settings_of(word_tagger_model(), {}),
                   of_parser = settings_of(word_parser_model(), {});
    tagger = made(word_tagger_model(), of_tagger, {run});
    diffusion_test::train_on(*tagger, all_texts(8), 100, 4);
    parser = made(word_parser_model(), of_parser, {run});
    diffusion_test::train_on(*parser, all_texts(8), 100, 5);
    controlled = made(diffusion_lm_model(), settings,
                      {none, {tagger, kFacts, of_tagger}, {parser, kFacts, of_parser}});
    copy_by_name(parameter_tensors(*controlled), parameter_tensors(*model), true, "model");
  }
};

const Trained& trained() {
  static const Trained instance;
  return instance;
}

Request open_request(int64_t length) {
  Request request;
  request.start.assign(static_cast<size_t>(length), 4);
  request.fixed.assign(static_cast<size_t>(length), 0);
  request.fixed.back() = 1;
  return request;
}

Texts sampled(const Request& request, int count) {
  const std::vector<Request> requests(static_cast<size_t>(count), request);
  Generator generator(6);
  return trained().controlled->sampler()->sample(requests, {trained().settings, {4}, {}}, generator).texts;
}

double share(const Texts& texts, const std::function<bool(const std::vector<int32_t>&)>& holds) {
  return static_cast<double>(std::count_if(texts.begin(), texts.end(), holds)) /
         static_cast<double>(texts.size());
}

bool has_tags(const std::vector<int32_t>& text, const std::vector<int32_t>& tags) {
  return std::equal(tags.begin(), tags.end(), text.begin(),
                    [](int32_t tag, int32_t word) { return tag == tag_of(word); });
}

}  // namespace

TEST_CASE("a tagger of noisy texts leads samples to the tags that are wanted") {
  const nn_test::ThreadScope one(1);
  constexpr int kCount = 40;
  for (const std::vector<int32_t>& tags : Texts{{1, 1, 2, 2}, {1, 2, 1, 2}, {2, 2, 1, 1}}) {
    Request request = open_request(5);
    const auto holds = [&](const std::vector<int32_t>& text) { return has_tags(text, tags); };
    const double free = share(sampled(request, kCount), holds);
    request.tags = tags;
    const double led = share(sampled(request, kCount), holds);
    MESSAGE("tags: ", free, " of free samples, ", led, " of led ones");
    CHECK(led > 0.9);
    CHECK(free < 0.7);
  }
}

TEST_CASE("a parser of noisy texts leads samples to a phrase, and to a whole tree") {
  const nn_test::ThreadScope one(1);
  constexpr int kCount = 40;
  Request request = open_request(5);
  const auto holds = [](const std::vector<int32_t>& text) {
    return tag_of(text[1]) == 2 && tag_of(text[0]) == 2;
  };
  const double free = share(sampled(request, kCount), holds);
  request.spans = {{0, 2, {2}}};
  const double led = share(sampled(request, kCount), holds);
  MESSAGE("phrase: ", free, " of free samples, ", led, " of led ones");
  CHECK(led > 0.9);
  CHECK(free < 0.7);
  // Either label will do.
  request.spans = {{2, 4, {1, 2}}};
  CHECK(share(sampled(request, kCount), [](const auto& text) { return tag_of(text[2]) == tag_of(text[3]); }) >
        0.9);
  // The tree of one phrase has no other: the text {0, 2, 1, 3} has none, and {0, 1, 2, 3} has two.
  request.spans = {{1, 3, {1}}};
  request.start.erase(request.start.begin());
  request.fixed.erase(request.fixed.begin());
  request.spans_are_all = true;
  CHECK(share(sampled(request, kCount), [](const auto& text) { return has_tags(text, {2, 1, 1}); }) > 0.9);
}

TEST_CASE("log p of what is wanted is the sum of the classifiers' own, by their probabilities") {
  const nn_test::ThreadScope one(1);
  const auto tagger = std::dynamic_pointer_cast<const WordTagger>(trained().tagger);
  const auto parser = std::dynamic_pointer_cast<const WordParser>(trained().parser);
  DiffusionLm model = diffusion_test::tiny_model();
  WordNetworkOptions options = diffusion_test::tiny_options(WordOutput::words_with_likelihood);
  options.words = 5;
  options.dimension = 4;
  Generator generator(7);
  const WordNetwork network(options, diffusion_test::tiny_config(), generator);
  std::vector<Request> requests = {open_request(4), open_request(3)};
  requests[0].spans = {{0, 2, {1, 2}}, {1, 2, {2}}};
  requests[0].spans_are_all = true;
  requests[1].tags = {2, 1};
  const WordCanvas canvas(model, network, {.end = 4, .padding = -1, .length = 5}, requests, {});
  const LogProbability control = text_control({nullptr, tagger, parser}, requests, canvas);
  const NoiseLevel level = word_level(model.process, 1);
  const Variable x(normal({2, 5, 4}, generator));
  const std::vector<double> values = control(x, level).value().to_vector<double>();

  const Variable rows = canvas.rows_of(x);
  const Tensor time = full({2}, level.time, Dtype::float32);
  const SpanRows spans = all_spans(canvas.sequences());
  const std::vector<double> p =
      softmax(parser->logits(rows, canvas.sequences(), time, spans)).value().to_vector<double>();
  const std::vector<double> log_tags =
      tagger->log_probabilities(rows, canvas.sequences(), time).value().to_vector<double>();
  // The ten spans of the first text: 0-0, 0-1, 0-2, 0-3, 1-1, 1-2, ...
  double expected = 0;
  for (size_t span = 0; span < 10; ++span) {
    const double none = p[span * 3], first = p[span * 3 + 1], second = p[span * 3 + 2];
    expected += std::log(span == 1 ? first + second : span == 4 ? second : none);
  }
  CHECK(values[0] == doctest::Approx(expected).epsilon(1e-4));
  // Rows 4 to 6 are the second text's.
  CHECK(values[1] ==
        doctest::Approx(log_tags[4 * 3 + 2] + log_tags[5 * 3 + 1] + log_tags[6 * 3]).epsilon(1e-4));
  CHECK_FALSE(text_control({nullptr, tagger, parser}, std::vector{open_request(4)}, canvas));
}

TEST_CASE("the tagger's and the parser's gradients agree with differences") {
  Generator generator(8);
  const FrozenModel run{trained().model, kFacts, trained().settings};
  const Sequences sequences = nn_test::sequences_of({3, 1});
  const Tensor time = Tensor::from(std::vector<float>{0.2F, 0.7F}, {2});
  const Tensor x = normal({4, 4}, generator, 0, 1, Dtype::float64);
  const std::vector<std::string> tiny = {"transformer.hidden=4", "transformer.mlp_ratio=1"};
  WordTagger tagger(settings_of(word_tagger_model(), tiny), kFacts, run, generator);
  tagger.to(Dtype::float64);
  nn_test::check_gradients("word_tagger", tagger, {x}, [&](const auto& inputs) {
    return tagger.log_probabilities(inputs[0], sequences, time);
  });
  WordParser parser(settings_of(word_parser_model(), tiny), kFacts, run, generator);
  parser.to(Dtype::float64);
  nn_test::check_gradients("word_parser", parser, {x}, [&](const auto& inputs) {
    return parser.logits(inputs[0], sequences, time, all_spans(sequences));
  });
}

TEST_CASE("with padding, the rows after a text have no tag and are no phrase") {
  const Settings settings = settings_of(diffusion_lm_model(), {"diffusion_lm.dimension=4"});
  const FrozenModel run{made(diffusion_lm_model(), settings, {}), kFacts, settings};
  Generator generator(9);
  const std::shared_ptr<Model> tagger =
      made(word_tagger_model(), settings_of(word_tagger_model(), {}), {run});
  const std::shared_ptr<Model> parser =
      made(word_parser_model(), settings_of(word_parser_model(), {}), {run});
  const Batch texts = all_texts(1);
  const Loss of_tags = tagger->loss(tagger->prepare(texts, 0, generator), 0, {});
  const Loss of_spans = parser->loss(parser->prepare(texts, 0, generator), 0, {});
  const auto input = [](const Loss& loss, const std::string& name) {
    for (const auto& [key, tensor] : loss.inputs) {
      if (key == name) return tensor.to_vector<int32_t>();
    }
    return std::vector<int32_t>{};
  };
  const std::vector<int32_t> tags = input(of_tags, "tags"), labels = input(of_spans, "labels");
  CHECK(tags.size() == 6 * 5);
  CHECK(std::vector<int32_t>(tags.begin() + 5, tags.begin() + 10) == std::vector<int32_t>{2, 1, 1, 0, 0});
  CHECK(labels.size() == 6 * 15);
  // The second text's: spans 0-0 to 0-4, then 1-1, 1-2, ...
  CHECK(labels[15 + 6] == 1);
  CHECK(std::count(labels.begin() + 15, labels.begin() + 30, 0) == 14);
}

TEST_CASE("what no classifier can lead to is refused in a sentence") {
  const Request open = open_request(5);
  const auto refused = [&](const std::function<void(Request&)>& ask, const Model& model) {
    Request request = open;
    ask(request);
    const std::vector<Request> requests = {request};
    Generator generator(1);
    model.sampler()->sample(requests, {trained().settings, {}, {}}, generator);
  };
  const Model& led = *trained().controlled;
  const Model& free = *trained().model;
  CHECK_THROWS_WITH(refused([](Request& r) { r.tags = {1}; }, free),
                    "diffusion_lm: only a classifier leads texts to parts of speech: see sample.tagger");
  CHECK_THROWS_WITH(refused(
                        [](Request& r) {
                          r.spans = {{0, 1, {1}}};
                        },
                        free),
                    "diffusion_lm: only a classifier leads texts to phrases: see sample.parser");
  CHECK_THROWS_WITH(refused(
                        [](Request& r) {
                          r.tags = {1, 7};
                        },
                        led),
                    "diffusion_lm: the tag 7 is not one of the classifier's 3");
  CHECK_THROWS_WITH(refused([](Request& r) { r.tags = {1, 1, 1, 1, 1, 1}; }, led),
                    "diffusion_lm: 6 tags are wanted of text 0, which has 5 tokens");
  CHECK_THROWS_WITH(refused(
                        [](Request& r) {
                          r.spans = {{3, 6, {1}}};
                        },
                        led),
                    "diffusion_lm: a phrase of tokens 3 to 5 is wanted of text 0, which has 5");
  CHECK_THROWS_WITH(refused(
                        [](Request& r) {
                          r.spans = {{0, 1, {}}};
                        },
                        led),
                    "diffusion_lm: a phrase is wanted of text 0, and it may have no label");
  CHECK_THROWS_WITH(refused(
                        [](Request& r) {
                          r.spans = {{0, 1, {3}}};
                        },
                        led),
                    "diffusion_lm: the label 3 is not one of the classifier's 3");
  const FrozenModel none{nullptr, kFacts, trained().settings};
  const FrozenModel tagger{trained().tagger, kFacts, settings_of(word_tagger_model(), {})};
  const std::shared_ptr<Model> stranger =
      made(diffusion_lm_model(), trained().settings, {none, tagger, none});
  CHECK_THROWS_WITH(
      refused([](Request& r) { r.tags = {1}; }, *stranger),
      "sample.tagger names a classifier of another run: its words have other vectors than this run's");
  DataFacts plain = kFacts;
  plain.tags = plain.span_labels = 0;
  const FrozenModel run{trained().model, kFacts, trained().settings};
  CHECK_THROWS_WITH(made(word_tagger_model(), settings_of(word_tagger_model(), {}), {run}, plain),
                    "word_tagger: the data have no tags, of which it could learn");
  CHECK_THROWS_WITH(made(word_parser_model(), settings_of(word_parser_model(), {}), {run}, plain),
                    "word_parser: the data have no trees, of which it could learn");
}

}  // namespace haze

#include "haze/diffusion/gaussian/diffusion_lm/word_sampler.h"

#include <cmath>
#include <map>

#include <doctest/doctest.h>

#include "diffusion/gaussian/diffusion_lm/tiny_words.h"
#include "diffusion/toy_language.h"

namespace haze {
namespace {

using namespace diffusion_test;

constexpr int32_t kEnd = 3, kPadding = 4;
constexpr WordIds kPadded{.end = kEnd, .padding = kPadding, .length = 6};
constexpr WordIds kRagged{.end = kEnd, .padding = -1, .length = 6};

// A network that says of every word the same.
std::unique_ptr<WordNetwork> ignorant_network(WordNetworkOptions options) {
  Generator generator(1);
  auto network = std::make_unique<WordNetwork>(options, tiny_config(), generator);
  for (const NamedParameter& parameter : network->parameters()) {
    if (parameter.name.starts_with("output")) fill(parameter.variable->value(), 0);
  }
  return network;
}

std::unique_ptr<WordNetwork> random_network(WordOutput output) {
  Generator generator(2);
  return std::make_unique<WordNetwork>(tiny_options(output), tiny_config(), generator);
}

Request request(std::vector<int32_t> start, std::vector<uint8_t> fixed) {
  return {.start = std::move(start), .fixed = std::move(fixed), .source = {}};
}

std::vector<NoiseLevel> word_levels(const DiffusionLm& model, int steps) {
  std::vector<NoiseLevel> levels = strided_levels(model.process.schedule, steps);
  for (size_t i = 0; i + 1 < levels.size(); ++i) levels[i] = to_word_level(model.process, levels[i]);
  return levels;
}

// Texts of ancestral sampling over all levels.
std::vector<std::vector<int32_t>> sampled(const DiffusionLm& model, const WordNetwork& network,
                                          const WordIds& ids, std::span<const Request> requests,
                                          WordSamplerOptions options, uint64_t seed, int steps) {
  WordCanvas canvas(model, network, ids, requests, std::move(options));
  Generator generator(seed);
  const NoiseSource noise = example_noise(canvas.count(), generator);
  const GaussianDenoiser denoise = [&](const Tensor& x, const NoiseLevel& level) {
    return canvas.denoise(x, level);
  };
  const Tensor x = noise({canvas.count(), ids.length, network.options().dimension}, Dtype::float32);
  return canvas.texts(ancestral_sample(denoise, word_levels(model, steps), ReverseVariance::small, x, noise));
}

}  // namespace

TEST_CASE("with the exact posterior of words that are all alike, samples are all alike (chi-square, 99.9%)") {
  DiffusionLm model = tiny_model();
  model.process = word_process(sqrt_noise_schedule(200));
  WordNetworkOptions options = tiny_options(WordOutput::words_with_likelihood);
  options.words = 3;
  options.sigma_0 = model.process.sigma_0;
  const auto network = ignorant_network(options);
  constexpr int kTexts = 500;
  const std::vector<Request> requests(kTexts, request(std::vector<int32_t>(6), std::vector<uint8_t>(6)));
  std::map<int32_t, double> counts;
  for (const auto& text :
       sampled(model, *network, {.end = 0, .padding = -1, .length = 6}, requests, {.clamp = false}, 3, 200)) {
    for (const int32_t word : text) ++counts[word];
  }
  double chi_square = 0;
  constexpr double kExpected = kTexts * 6 / 3.0;
  for (const int32_t word : {0, 1, 2}) chi_square += std::pow(counts[word] - kExpected, 2) / kExpected;
  CHECK(chi_square < 13.8);  // 2 degrees of freedom
}

TEST_CASE("given words stay, and forbidden ones are never drawn, with clamping or without") {
  const DiffusionLm model = tiny_model();
  for (const WordOutput output : {WordOutput::vector, WordOutput::words_with_likelihood}) {
    const auto network = random_network(output);
    for (const bool clamp : {true, false}) {
      for (const RoundingRule rounding : {RoundingRule::softmax, RoundingRule::nearest}) {
        const std::vector<Request> requests = {request({0, 2, 0, kEnd}, {0, 1, 0, 1}), request({1}, {1})};
        const auto texts = sampled(model, *network, kPadded, requests,
                                   {.rounding = rounding, .clamp = clamp, .forbidden = {0}}, 4, 10);
        REQUIRE(texts.size() == 2);
        // The end is given, so the text has neither another end nor padding.
        REQUIRE(texts[0].size() == 4);
        CHECK(texts[0][1] == 2);
        CHECK(texts[0][3] == kEnd);
        for (const size_t open : {size_t{0}, size_t{2}}) CHECK((texts[0][open] == 1 || texts[0][open] == 2));
        CHECK(texts[1].front() == 1);
        for (const int32_t word : texts[1]) CHECK((word != 0 && word != kPadding));
      }
    }
  }
}

TEST_CASE("a sample depends on the seed and its own number alone, padded or ragged") {
  const DiffusionLm model = tiny_model();
  const auto network = random_network(WordOutput::words_with_likelihood);
  const std::vector<Request> ragged = {request(std::vector<int32_t>(3), std::vector<uint8_t>(3)),
                                       request(std::vector<int32_t>(1), std::vector<uint8_t>(1)),
                                       request(std::vector<int32_t>(6), std::vector<uint8_t>(6))};
  const std::vector<Request> open(3, request({}, {}));
  for (const WordIds& ids : {kRagged, kPadded}) {
    const std::vector<Request>& requests = ids.padding < 0 ? ragged : open;
    const auto all = sampled(model, *network, ids, requests, {.clamp = false}, 5, 10);
    for (size_t count : {size_t{1}, size_t{2}}) {
      const auto some =
          sampled(model, *network, ids, std::span(requests).first(count), {.clamp = false}, 5, 10);
      CHECK(some == std::vector(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)));
    }
    if (ids.padding < 0) {
      for (size_t i = 0; i < 3; ++i) CHECK(all[i].size() == requests[i].start.size());
    }
  }
}

TEST_CASE("an estimate that is clamped is an embedding, the nearest one by the distance in float64") {
  const DiffusionLm model = tiny_model();
  const auto network = random_network(WordOutput::vector);
  const std::vector<Request> requests(4, request({}, {}));
  WordCanvas free(model, *network, kPadded, requests, {.clamp = false});
  WordCanvas clamped(model, *network, kPadded, requests, {.clamp = true});
  Generator generator(6);
  const Tensor x = normal({4, 6, kDimension}, generator);
  const NoiseLevel level = noise_level(model.process.schedule, 10);
  const std::vector<double> estimates = free.denoise(x, level).x_0.to_vector<double>();
  const std::vector<double> rounded = clamped.denoise(x, level).x_0.to_vector<double>();
  const std::vector<double> table = network->embeddings().value().to_vector<double>();
  for (size_t row = 0; row < estimates.size(); row += 2) {
    size_t best = 0;
    double least = 1e9;
    for (size_t word = 0; word < table.size(); word += 2) {
      const double distance = std::hypot(estimates[row] - table[word], estimates[row + 1] - table[word + 1]);
      if (distance < least) {
        least = distance;
        best = word;
      }
    }
    CHECK(rounded[row] == doctest::Approx(table[best]));
    CHECK(rounded[row + 1] == doctest::Approx(table[best + 1]));
  }
}

TEST_CASE("a text ends with its first end token, and padding before it is left out") {
  const DiffusionLm model = tiny_model();
  const auto network = random_network(WordOutput::words_with_likelihood);
  const std::vector<Request> requests(1, request({}, {}));
  const WordCanvas canvas(model, *network, kPadded, requests, {});
  const auto cut = [&](const std::vector<int32_t>& words) {
    const Tensor ids = Tensor::from(words, {6});
    const Tensor x = reshape(embedding(network->embeddings().value(), ids), {1, 6, kDimension});
    return canvas.texts(x)[0];
  };
  CHECK(cut({2, 1, kEnd, kPadding, kPadding, 0}) == std::vector<int32_t>{2, 1, kEnd});
  CHECK(cut({2, kPadding, 1, kEnd, 1, kEnd}) == std::vector<int32_t>{2, 1, kEnd});
  CHECK(cut({2, 1, 0, 1, 2, 0}) == std::vector<int32_t>{2, 1, 0, 1, 2, 0});
}

TEST_CASE("requests that fit no text are refused in a sentence") {
  const DiffusionLm model = tiny_model();
  const auto network = random_network(WordOutput::words_with_likelihood);
  const auto error_of = [&](const WordIds& ids, const Request& one, std::vector<int32_t> forbidden = {}) {
    try {
      const WordCanvas canvas(model, *network, ids, std::span(&one, 1), {.forbidden = std::move(forbidden)});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(error_of(kRagged, request({}, {})) == "sampling: request 0 has no tokens");
  CHECK(error_of(kPadded, request(std::vector<int32_t>(7), std::vector<uint8_t>(7))) ==
        "sampling: request 0 has 7 tokens, and the model takes 6");
  CHECK(error_of(kPadded, request({1}, {})) ==
        "sampling: request 0 has 1 tokens and 0 marks of which are fixed");
  CHECK(error_of(kPadded, request({9}, {1})) == "sampling: token 9 of text 0 is outside the vocabulary of 5");
  CHECK(error_of(kPadded, request({}, {}), {9}) == "diffusion_lm: the forbidden word 9 is none of 5");
  CHECK(error_of(kPadded, request({}, {})).empty());
}

}  // namespace haze
